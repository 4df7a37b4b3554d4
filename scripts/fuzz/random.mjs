// Random numbers of a seed: the same in every run and on every machine.

/** Numbers of a seed, a name and a number, such as those of one input. */
export class Random {
  #state;

  /** @param {...(string | number)} seed */
  constructor(...seed) {
    // FNV-1a over the text of all parts.
    let hash = 0x811c9dc5;
    for (const char of seed.join("/")) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
    this.#state = hash >>> 0;
  }

  /** A whole number of 32 bits (mulberry32). */
  u32() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** A whole number from 0 to before `end`; 0 where that is 0. @param {number} end */
  below(end) {
    return end <= 1 ? 0 : Math.floor((this.u32() / 2 ** 32) * end);
  }

  /** Whether something happens that happens once in `n` times. @param {number} n */
  once(n) {
    return this.below(n) === 0;
  }

  /** @template T @param {readonly T[]} items @returns {T} */
  pick(items) {
    return items[this.below(items.length)];
  }

  /** A number of changes: 1 more often than not, seldom many. @param {number} most */
  few(most) {
    let count = 1;
    while (count < most && this.once(2)) count++;
    return count;
  }
}
