//! Random tensors of a recording: drawn outside of it before each replay, as the calls themselves would draw them then.
import { CaptureError } from "@openelm/native";
import type { DeviceLike } from "./device.js";
import type { DType } from "./dtype.js";
import { defaultGenerator, type Generator, type GeneratorState } from "./generator.js";
import type { Shape, Tensor } from "./tensor.js";

/** What a random tensor is like. */
export interface DrawSpec {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly device: DeviceLike | undefined;
}

/** A generator that a recording draws from. */
interface Source {
  readonly generator: Generator;
  /** Where it stood when the recording began. */
  readonly origin: GeneratorState;
  /** Whether the default generator is meant, whichever that is by then. */
  isDefault: boolean;
  /** Counts that one run uses. */
  used: number;
}

/** A random tensor that stands among the arguments of each replay. */
interface Draw {
  readonly source: Source;
  /** Counts between where the source stands before a run and the place of this draw. */
  readonly offset: number;
  readonly spec: DrawSpec;
  readonly make: (place: GeneratorState) => Tensor;
}

/**
 * What one recording draws.
 *
 * Generators move while it is made, as in a run, so that what is computed again draws the same numbers again; then they go
 * back to where they stood. Places count from there, so a replay draws what a run from its own beginning would.
 */
export class Draws {
  readonly #sources = new Map<Generator, Source>();
  readonly #draws: Draw[] = [];
  readonly #inside = new WeakSet<Generator>();
  readonly #standIn: (spec: DrawSpec) => Tensor;
  #ahead: readonly Tensor[] = [];

  /** @param standIn - Makes a tensor that replays give values to. */
  constructor(standIn: (spec: DrawSpec) => Tensor) {
    this.#standIn = standIn;
  }

  get specs(): DrawSpec[] {
    return this.#draws.map(({ spec }) => spec);
  }

  /**
   * Makes what stands for the draws before any work is recorded. Memory that is taken later may have served earlier work of
   * the recording, which would write over what a replay has drawn.
   */
  prepare(specs: readonly DrawSpec[]): void {
    this.#ahead = specs.map((spec) => this.#standIn(spec));
  }

  /** Whether these draws were prepared for, and no others. */
  get isPrepared(): boolean {
    return this.#draws.length === this.#ahead.length;
  }

  /** Notes where a generator stands, before it moves. */
  touch(generator: Generator): void {
    if (this.#sources.has(generator)) return;
    this.#sources.set(generator, { generator, origin: generator.state, isDefault: false, used: 0 });
  }

  /** Notes a generator that the recorded function makes anew in each of its calls. */
  born(generator: Generator): void {
    this.#inside.add(generator);
  }

  /**
   * A tensor whose values `make` draws for each replay.
   *
   * @throws CaptureError if it cannot be told where the generator will stand then.
   */
  add(
    op: string,
    chosen: Generator | undefined,
    place: GeneratorState,
    spec: DrawSpec,
    make: (place: GeneratorState) => Tensor,
  ): Tensor {
    const generator = chosen ?? defaultGenerator();
    const source = this.#sources.get(generator)!;
    if (this.#inside.has(generator)) {
      throw new CaptureError(`${op}: a replay would not make its generator anew; make it outside`);
    }
    if (!isAfter(place, source.origin)) {
      throw new CaptureError(`${op}: a replay would not set its generator back; set it outside`);
    }
    source.isDefault ||= chosen === undefined;
    const prepared = this.#ahead[this.#draws.length];
    if (prepared !== undefined && !isLike(prepared, spec)) {
      throw new CaptureError(`${op}: the function draws something else each time`);
    }
    this.#draws.push({ source, offset: place.counter - source.origin.counter, spec, make });
    return prepared ?? this.#standIn(spec);
  }

  /** Puts all generators back to where they stood. */
  settle(): void {
    for (const source of this.#sources.values()) {
      const { generator, origin } = source;
      source.used = generator.state.counter - origin.counter;
      generator.state = origin;
    }
  }

  /** @throws CaptureError if a generator does not just move on, which a replay could not repeat. */
  check(): void {
    for (const { generator, origin } of this.#sources.values()) {
      if (isAfter(generator.state, origin)) continue;
      throw new CaptureError("generator: a replay would not set it to another state; set it outside");
    }
  }

  /** The tensors of the next run, in the order of the calls. */
  make(): Tensor[] {
    return this.#draws.map(({ source, offset, make }) => {
      const { seed, counter } = present(source).state;
      return make({ seed, counter: counter + offset });
    });
  }

  /** Moves the generators on by what a run uses. */
  advance(): void {
    for (const source of this.#sources.values()) {
      const generator = present(source);
      const { seed, counter } = generator.state;
      generator.state = { seed, counter: counter + source.used };
    }
  }
}

const present = ({ generator, isDefault }: Source): Generator => (isDefault ? defaultGenerator() : generator);

const isAfter = (state: GeneratorState, origin: GeneratorState): boolean =>
  state.seed === origin.seed && state.counter >= origin.counter;

const isLike = (tensor: Tensor, { shape, dtype }: DrawSpec): boolean =>
  tensor.dtype === dtype && tensor.shape.join() === shape.join();
