// Named steps with their times, and a summary.

/** @param {number} ms */
export function seconds(ms) {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const whole = Math.round(ms / 1000);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/**
 * Runs steps one after the other, also after one that failed.
 *
 * A step fails by returning false or throwing; what it throws is printed. With `CI` on GitHub each step is a
 * foldable group.
 */
export class Steps {
  /** @type {{ name: string, ok: boolean, ms: number }[]} */
  done = [];

  /**
   * @param {string} name
   * @param {() => Promise<boolean | void> | boolean | void} body
   */
  async run(name, body) {
    const group = process.env.GITHUB_ACTIONS === "true";
    process.stdout.write(group ? `::group::${name}\n` : `\n── ${name}\n`);
    const since = Date.now();
    let ok = true;
    try {
      ok = (await body()) !== false;
    } catch (error) {
      ok = false;
      process.stdout.write(`${error instanceof Error ? error.message : error}\n`);
    }
    const ms = Date.now() - since;
    if (group) process.stdout.write("::endgroup::\n");
    process.stdout.write(`${ok ? "ok" : "FAILED"}  ${name}  ${seconds(ms)}\n`);
    this.done.push({ name, ok, ms });
    return ok;
  }

  get failed() {
    return this.done.filter(({ ok }) => !ok);
  }

  /** One line a step. */
  summary() {
    const width = Math.max(...this.done.map(({ name }) => name.length));
    return this.done
      .map(({ name, ok, ms }) => `${ok ? "ok    " : "FAILED"}  ${name.padEnd(width)}  ${seconds(ms)}`)
      .join("\n");
  }
}
