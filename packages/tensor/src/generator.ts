import { createHash } from "node:crypto";
import { CaptureError, UsageError } from "@openelm/native";
import { currentDraws, isRecording } from "./capture-state.js";

/** All that a generator is, as JSON. */
export interface GeneratorState {
  readonly seed: number;
  /** How many blocks of four words have been used. */
  readonly counter: number;
}

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/**
 * A stream of random numbers that a seed names: Philox, a block of four words for each count.
 *
 * The same seed gives the same bits on every device and with any number of threads. A call reserves its range of counts
 * when it is made.
 *
 * @example
 * ```ts
 * const g = new Generator(7);
 * const x = normal([2, 3], { generator: g });
 * const saved = g.state; // { seed: 7, counter: 2 }
 * g.state = saved; // goes on from there
 * ```
 */
export class Generator {
  #seed: number;
  #counter: number;

  /** @throws UsageError if `seed` is not a whole number of 0 to 2⁵³ − 1. */
  constructor(seed = 0) {
    this.#seed = checked({ seed, counter: 0 }).seed;
    this.#counter = 0;
    currentDraws()?.born(this);
  }

  /** A generator that goes on where a state was taken. */
  static fromState(state: GeneratorState): Generator {
    const generator = new Generator(state.seed);
    generator.state = state;
    return generator;
  }

  get state(): GeneratorState {
    return { seed: this.#seed, counter: this.#counter };
  }

  set state(state: GeneratorState) {
    const { seed, counter } = checked(state);
    currentDraws()?.touch(this);
    this.#seed = seed;
    this.#counter = counter;
  }

  /**
   * A stream of its own that this seed and a name determine, wherever this one stands.
   *
   * @example
   * ```ts
   * new Generator(1).fork("dropout").state.seed === new Generator(1).fork("dropout").state.seed; // true
   * ```
   */
  fork(name: string): Generator {
    const digest = createHash("sha256").update(`openelm ${this.#seed} ${name}`).digest();
    // 53 bits: the most that a number holds exactly.
    return new Generator(Number(digest.readBigUInt64LE() >> 11n));
  }

  /** Takes the words for `elements` values; the op gets the returned place. @internal */
  _reserve(elements: number): GeneratorState {
    const place = this.state;
    currentDraws()?.touch(this);
    this.#counter += Math.ceil(elements / 4);
    if (!Number.isSafeInteger(this.#counter)) throw new UsageError("this generator is used up; fork it");
    return place;
  }

  toJSON(): GeneratorState {
    return this.state;
  }
}

function checked(state: GeneratorState): GeneratorState {
  if (isWhole(state?.seed) && isWhole(state.counter)) return state;
  throw new UsageError(
    `a generator's seed and counter are whole numbers of 0 to 2⁵³ − 1, got ${JSON.stringify(state) ?? "nothing"}`,
  );
}

let current = new Generator(0);

/** The generator of random ops that are given none. */
export const defaultGenerator = (): Generator => current;

/**
 * Starts the default generator anew from `seed`.
 *
 * Without a call it starts from 0, so that a script gives the same numbers each time.
 */
export function seed(value: number): void {
  if (isRecording())
    throw new CaptureError("seed: a replay would not start the generator anew; start it outside");
  current = new Generator(value);
}
