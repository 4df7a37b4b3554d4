/** The largest error of one kind of check, in units of what is allowed. */
export interface Worst {
  readonly check: string;
  readonly error: number;
  readonly allowed: number;
}

/** Collects comparisons. */
export class Report {
  checked = 0;
  readonly failures: string[] = [];
  readonly #worst = new Map<string, Worst>();

  /**
   * Compares numbers; `allowed` is for differences relative to the largest expected magnitude, or to 1 where that is
   * smaller (gradients pass `scaleToMax` and are compared to their own largest value alone).
   */
  close(
    group: string,
    check: string,
    got: ArrayLike<number>,
    want: ArrayLike<number>,
    allowed: number,
    scaleToMax = false,
  ): void {
    let [largest, error] = [scaleToMax ? 0 : 1, got.length === want.length ? 0 : Number.POSITIVE_INFINITY];
    for (let i = 0; i < want.length; i++) {
      largest = Math.max(largest, Math.abs(want[i]!));
      const difference = Math.abs(got[i]! - want[i]!);
      // A NaN must not pass as no difference.
      error = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(error, difference);
    }
    this.#note(group, check, largest === 0 ? error : error / largest, allowed);
  }

  /** Compares whatever must be the same. */
  same(group: string, check: string, got: unknown, want: unknown): void {
    const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
    this.#note(
      group,
      a === b ? check : `${check}: got ${a?.slice(0, 120)}, want ${b?.slice(0, 120)}`,
      a === b ? 0 : 1,
      0,
    );
  }

  #note(group: string, check: string, error: number, allowed: number): void {
    this.checked += 1;
    if (!(error <= allowed))
      this.failures.push(`${check}: off by ${error.toExponential(2)}, allowed ${allowed}`);
    const before = this.#worst.get(group);
    if (before === undefined || error > before.error) this.#worst.set(group, { check, error, allowed });
  }

  toJSON(): object {
    return {
      checked: this.checked,
      failed: this.failures.length,
      worst: Object.fromEntries(this.#worst),
      failures: this.failures.slice(0, 50),
    };
  }
}
