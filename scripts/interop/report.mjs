// What was compared, and how it came out.

/** NaN where there are not as many of each. @param {Float32Array} a @param {Float32Array} b */
export function largestDifference(a, b) {
  let largest = a.length === b.length ? 0 : Number.NaN;
  for (const [i, value] of a.entries()) largest = Math.max(largest, Math.abs(value - (b[i] ?? Number.NaN)));
  return largest;
}

/** Lines of a run, each printed as soon as it is known. */
export class Report {
  failed = 0;
  checked = 0;

  /** @param {string} program @param {string} what @param {boolean} holds @param {string} [detail] */
  that(program, what, holds, detail = "") {
    this.checked++;
    if (!holds) this.failed++;
    const line = `${holds ? "ok    " : "FAILED"}  ${program.padEnd(10)} ${what}`;
    process.stdout.write(`${line}${detail === "" ? "" : `  (${detail})`}\n`);
  }

  /** @param {string} program @param {string} what @param {Float32Array} got @param {Float32Array} wanted @param {number} most */
  close(program, what, got, wanted, most) {
    const largest = largestDifference(got, wanted);
    this.that(program, what, largest <= most, `difference ${largest.toExponential(1)}, allowed ${most}`);
  }

  /** @param {string} program @param {string} what @param {unknown} got @param {unknown} wanted */
  same(program, what, got, wanted) {
    const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
    this.that(program, what, a === b, a === b ? "" : `got ${a.slice(0, 120)}, wanted ${b.slice(0, 120)}`);
  }
}
