import {
  type Device,
  type DeviceLike,
  DTYPE_INFO,
  type DType,
  defaults,
  device as deviceOf,
  Generator,
  intercept,
  keep,
  OpError,
  type Shape,
  scope,
  type Tensor,
  UsageError,
} from "@openelm/tensor";
import * as init from "./init.js";

/** What a parameter will be, before it has values. */
export interface ParameterOptions {
  /** Whole numbers of 0 or more. */
  readonly shape: Shape;
  /** Default: that of `withDefaults`, else f32. */
  readonly dtype?: DType | undefined;
  /** Default: zeros. */
  readonly init?: init.Init | undefined;
  /** Default: that of `withDefaults`, else the CPU. */
  readonly device?: DeviceLike | undefined;
  /** Whether gradients are wanted; `freeze` changes it. Default `true`. */
  readonly trainable?: boolean | undefined;
}

/** Gives unnamed parameters of the same tree their paths; set by module.ts. @internal */
export const naming: { nameAllWith: (parameter: Parameter) => void } = { nameAllWith: () => undefined };

/**
 * A tensor that belongs to a module: trained, saved and moved with it.
 *
 * It has no values, and takes no memory, until its first use, `load` or `initialize`. Initial values come from a
 * generator derived from the seed and the parameter's path in its outermost module, so they do not depend on the order
 * of first uses. Two models of the same seed start alike, and so do two single layers that belong to none: construct
 * them under `withDefaults({ seed }, …)`, or call `initialize(seed)`, for others.
 *
 * @example
 * ```ts
 * const scale = new Parameter({ shape: [8], init: init.ones });
 * scale.isInitialized; // false
 * scale.value.shape; // [8]
 * ```
 */
export class Parameter {
  readonly shape: Shape;
  trainable: boolean;
  /** Where it is in its outermost module, such as `layers.0.weight`; undefined until it is asked for. @internal */
  _path: string | undefined;
  readonly #init: init.Init;
  readonly #seed: number;
  #dtype: DType;
  #device: Device;
  #value: Tensor | undefined;

  constructor({ shape, dtype, init: initial = init.zeros, device, trainable = true }: ParameterOptions) {
    const ambient = defaults();
    if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
      throw new UsageError(
        `a parameter's sizes must be whole numbers of 0 or more, got [${shape.join(", ")}]`,
      );
    }
    this.shape = [...shape];
    this.trainable = trainable;
    this.#init = initial;
    this.#seed = ambient.seed;
    this.#dtype = dtype ?? ambient.dtype;
    this.#device = deviceOf(device ?? ambient.device);
  }

  get dtype(): DType {
    return this.#dtype;
  }

  get device(): Device {
    return this.#device;
  }

  /** How many elements. */
  get size(): number {
    return this.shape.reduce((product, dim) => product * dim, 1);
  }

  /** Whether it has values yet. */
  get isInitialized(): boolean {
    return this.#value !== undefined;
  }

  /** The values; the first use makes them. */
  get value(): Tensor {
    if (this.#value === undefined) this.initialize();
    return this.#value!;
  }

  /**
   * Takes over `tensor` as the values, with its dtype and device, and frees those that were there.
   *
   * @throws OpError `SHAPE_MISMATCH` if its shape differs.
   */
  set value(tensor: Tensor) {
    if (tensor.shape.join() !== this.shape.join()) {
      if (this._path === undefined) naming.nameAllWith(this);
      const name = this._path ?? "parameter";
      throw new OpError(
        "SHAPE_MISMATCH",
        name,
        `wants shape [${this.shape.join(", ")}], got [${tensor.shape.join(", ")}]`,
      );
    }
    const before = this.#value;
    this.#value = keep(tensor);
    this.#dtype = tensor.dtype;
    this.#device = tensor.device;
    if (before !== tensor) before?.dispose();
  }

  /** Makes the initial values anew, from the seed in force at construction or from `seed`. */
  initialize(seed: number = this.#seed): void {
    if (this._path === undefined) naming.nameAllWith(this);
    const generator = new Generator(seed).fork(this._path ?? "");
    const context = { dtype: this.#dtype, device: this.#device, generator };
    // Making values is no part of the computation that needs them first.
    this.value = intercept(null, () => scope(() => this.#init(this.shape, context)));
  }

  /** Moves, and casts floats to floats; values that do not exist yet will be made there. @internal */
  _to({ dtype, device }: { readonly dtype: DType | undefined; readonly device: Device | undefined }): void {
    const cast = dtype !== undefined && DTYPE_INFO[this.#dtype].isFloat ? dtype : this.#dtype;
    const target = { dtype: cast, device: device ?? this.#device };
    if (this.#device.name === "meta" && target.device !== this.#device) {
      // There is nothing to move from there: the first use makes the values.
      this.#value?.dispose();
      this.#value = undefined;
    }
    const value = this.#value;
    if (value !== undefined) this.value = intercept(null, () => scope(() => value.to(target)));
    this.#dtype = target.dtype;
    this.#device = target.device;
  }
}

/** Values of a module that are saved and moved with it but not trained, such as running statistics. */
export class Buffer extends Parameter {
  /** @param options - As for a parameter; a buffer is never trained. */
  constructor(options: Omit<ParameterOptions, "trainable">) {
    super({ ...options, trainable: false });
  }
}
