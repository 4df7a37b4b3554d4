import {
  copy,
  Device,
  type DeviceLike,
  DTYPE_INFO,
  DTYPES,
  type DType,
  device as deviceOf,
  FormatError,
  intercept,
  loadSafetensors,
  SHOWS_RANGES,
  saveSafetensors,
  type Tensor,
  TREE,
  type TreeEntry,
  type TreeNode,
  UsageError,
} from "@openelm/tensor";
import { showRanges } from "./module-ranges.js";
import { Buffer, naming, Parameter } from "./parameter.js";

/** How parameter paths are called in files. */
export interface NameMap {
  /** The name in the file of the parameter at `path`. */
  toFile(path: string): string;
}

/** Where {@link Module.to} puts parameters. */
export interface ModuleTarget {
  /** A float dtype. Default: stays. */
  readonly dtype?: DType | undefined;
  /** Default: stays. */
  readonly device?: DeviceLike | undefined;
}

const isDType = (target: unknown): target is DType => DTYPES.includes(target as DType);

const isTarget = (target: DType | DeviceLike | ModuleTarget): target is ModuleTarget =>
  typeof target === "object" && !(target instanceof Device);

/** Changes what layers of a model compute, such as `LoRA`. */
export interface Adapter {
  /** Puts layers of its own into the model. */
  attach(model: Module): void;
}

/** Options of {@link Module.load}. */
export interface LoadOptions {
  /** How paths are called in the file. Default: as they are. */
  readonly names?: NameMap | undefined;
  /** Casts the floats; without it they keep the dtype of the file. */
  readonly dtype?: DType | undefined;
  /** Where the values go. Default: where the parameters are. */
  readonly device?: DeviceLike | undefined;
  /** Whether tensors of the file that no parameter wants are an error. Default `true`. */
  readonly strict?: boolean | undefined;
  /** Maps the file instead of reading it, for inference: nothing is copied, and the file must not change. Default `false`. */
  readonly mmap?: boolean | undefined;
}

/** Modules whose parameters may not have paths yet, in the order of their construction. */
let unnamed: WeakRef<Module>[] = [];

naming.nameAllWith = (wanted) => {
  // Children may be made before their parents or by them: the outermost module is the one with the longest path.
  let [outermost, longest]: [Module | undefined, number] = [undefined, -1];
  const live = unnamed.flatMap((ref) => ref.deref() ?? []);
  for (const module of live) {
    for (const [path, parameter] of parametersOf(module)) {
      const depth = path.split(".").length;
      if (parameter === wanted && depth > longest) [outermost, longest] = [module, depth];
    }
  }
  outermost?._nameParameters();
  unnamed = unnamed.filter((ref) => ref.deref()?._hasUnnamed());
};

/**
 * A part of a model: parameters and other modules as plain fields, and a method that computes.
 *
 * Fields are found in the order of their declaration; arrays, Maps and plain objects of modules count as well. The path
 * of a parameter is that of its field, such as `layers.0.attn.weight`; one reachable by two paths goes by the first.
 *
 * @example
 * ```ts
 * class MLP extends Module {
 *   readonly up = new Linear(4, 8);
 *   readonly down = new Linear(8, 2);
 *   forward(x: Tensor): Tensor {
 *     return this.down.forward(this.up.forward(x).relu());
 *   }
 * }
 * ```
 */
export abstract class Module implements TreeNode {
  #training = true;

  constructor() {
    if (SHOWS_RANGES) showRanges(new.target, Module.prototype, pathOf);
    unnamed.push(new WeakRef(this));
    if (unnamed.length % 4096 === 0) unnamed = unnamed.filter((ref) => ref.deref() !== undefined);
  }

  /** Whether dropout and the like are active. */
  get training(): boolean {
    return this.#training;
  }

  /**
   * Parameters and buffers with their paths, each once, in the order of their fields.
   *
   * @throws UsageError if two of them have the same path, as by a key with a dot.
   */
  *namedParameters(): Iterable<readonly [path: string, parameter: Parameter]> {
    const paths = new Set<string>();
    for (const entry of parametersOf(this)) {
      const [path] = entry;
      if (paths.has(path))
        throw new UsageError(`two parameters have the path "${path}"; rename a field or key`);
      paths.add(path);
      yield entry;
    }
  }

  /** All modules inside, this one first, with their paths; one reachable by two paths goes by the first. */
  *namedModules(): Iterable<readonly [path: string, module: Module]> {
    yield ["", this];
    for (const [path, item] of walk(this)) if (item instanceof Module) yield [path, item];
  }

  parameters(): Parameter[] {
    return Array.from(this.namedParameters(), ([, parameter]) => parameter);
  }

  /**
   * The parameter at `path`.
   *
   * @throws UsageError naming those that exist.
   */
  parameter(path: string): Parameter {
    const found = new Map(this.namedParameters()).get(path);
    if (found === undefined) {
      throw new UsageError(
        `there is no parameter "${path}"; there are: ${Array.from(this.namedParameters(), ([p]) => p).join(", ")}`,
      );
    }
    return found;
  }

  /** How many numbers are trained or saved; tied ones count once. */
  parameterCount(): number {
    return this.parameters().reduce(
      (sum, parameter) => sum + (parameter instanceof Buffer ? 0 : parameter.size),
      0,
    );
  }

  *[TREE](): Iterable<TreeEntry> {
    this._nameParameters();
    for (const [path, parameter] of this.namedParameters()) {
      yield {
        path,
        get tensor() {
          return parameter.value;
        },
        trainable: parameter.trainable,
        pending: !parameter.isInitialized,
      };
    }
  }

  /** Gives parameters without a path theirs. @internal */
  _nameParameters(): void {
    for (const [path, parameter] of parametersOf(this)) parameter._path ??= path;
  }

  /** @internal */
  _hasUnnamed(): boolean {
    for (const [, parameter] of parametersOf(this)) if (parameter._path === undefined) return true;
    return false;
  }

  /** Makes all initial values, from `seed` or the seed in force at construction. */
  initialize(seed?: number): this {
    this._nameParameters();
    for (const parameter of this.parameters()) parameter.initialize(seed);
    return this;
  }

  /** Switches dropout and the like on. */
  train(): this {
    return this.#setTraining(true);
  }

  /** Switches dropout and the like off. */
  eval(): this {
    return this.#setTraining(false);
  }

  #setTraining(training: boolean): this {
    for (const [, module] of this.namedModules()) module.#training = training;
    return this;
  }

  /**
   * Moves all parameters to a device, casts the floats among them, or both.
   *
   * @throws UsageError if the dtype is not a float, DeviceError if there is no such device; nothing is changed then.
   * @example
   * ```ts
   * model.to("bf16");
   * model.to({ dtype: "f32", device: "cpu" });
   * ```
   */
  to(target: DType | DeviceLike | ModuleTarget): this {
    const { dtype, device } = isTarget(target)
      ? target
      : isDType(target)
        ? { dtype: target, device: undefined }
        : { dtype: undefined, device: target };
    if (dtype !== undefined && !DTYPE_INFO[dtype]?.isFloat) {
      throw new UsageError(`Module.to: dtype must be a float, got ${dtype}`);
    }
    const place = device === undefined ? undefined : deviceOf(device);
    for (const parameter of this.parameters()) parameter._to({ dtype, device: place });
    return this;
  }

  /**
   * Wants no gradients for the parameters whose path matches; how many those are. Default: all.
   *
   * @example
   * ```ts
   * model.freeze(/^layers\.[0-3]\./); // the first four layers
   * ```
   */
  freeze(pattern: RegExp = /(?:)/): number {
    return this.#setTrainable(pattern, false);
  }

  /** The opposite of {@link freeze}. */
  unfreeze(pattern: RegExp = /(?:)/): number {
    return this.#setTrainable(pattern, true);
  }

  #setTrainable(pattern: RegExp, trainable: boolean): number {
    const matching = [...this.namedParameters()].filter(
      ([path, p]) => path.search(pattern) >= 0 && !(p instanceof Buffer),
    );
    for (const [, parameter] of matching) parameter.trainable = trainable;
    return matching.length;
  }

  /**
   * Puts an adapter's layers into the model, in place.
   *
   * @example
   * ```ts
   * model.apply(new LoRA({ rank: 8, targets: /attn/ }));
   * ```
   */
  apply(adapter: Adapter): this {
    adapter.attach(this);
    return this;
  }

  /**
   * Takes parameter values from a safetensors file or several, or copies them from tensors by name.
   *
   * Nothing is initialized first, and nothing is changed if a tensor is missing, left over, of another shape or of no
   * float dtype where the parameter has one.
   *
   * @throws FormatError naming the tensors that do not fit, FileError if the file cannot be read.
   */
  async load(
    source: string | readonly string[] | ReadonlyMap<string, Tensor>,
    options: LoadOptions = {},
  ): Promise<this> {
    if (source instanceof Map) {
      this.#take(source, "the given tensors", options, false);
      return this;
    }
    const paths = typeof source === "string" ? [source] : (source as readonly string[]);
    const { dtype, mmap = false } = options;
    // All parameters of a model are on one device; where they are not, each value moves on to its own.
    const device = options.device ?? this.parameters()[0]?.device;
    const tensors = new Map<string, Tensor>();
    try {
      for (const path of paths) {
        for (const [name, tensor] of await loadSafetensors(path, { device, dtype, mmap })) {
          tensors.get(name)?.dispose();
          tensors.set(name, tensor);
        }
      }
      this.#take(tensors, paths.join(", "), options, true);
    } catch (error) {
      for (const tensor of tensors.values()) tensor.dispose();
      throw error;
    }
    return this;
  }

  /** Gives each parameter its tensor, or a copy of it; `own` ones that no parameter wants are freed. */
  #take(
    tensors: ReadonlyMap<string, Tensor>,
    where: string,
    { names, dtype, device, strict = true }: LoadOptions,
    own: boolean,
  ): void {
    const place = device === undefined ? undefined : deviceOf(device);
    const wanted = Array.from(this.namedParameters(), ([path, parameter]) => ({
      name: names?.toFile(path) ?? path,
      parameter,
    }));
    checkFit(where, wanted, tensors, strict);
    const taken = new Set<Tensor>();
    for (const { name, parameter } of wanted) {
      const tensor = tensors.get(name)!;
      const target = {
        dtype: DTYPE_INFO[tensor.dtype].isFloat ? (dtype ?? tensor.dtype) : tensor.dtype,
        device: place ?? parameter.device,
      };
      const moved = intercept(null, () => tensor.to(target));
      const mayTake = own && !taken.has(tensor);
      parameter.value = moved !== tensor || mayTake ? moved : intercept(null, () => copy(tensor));
      if (moved === tensor) taken.add(tensor);
    }
    if (own) for (const tensor of tensors.values()) if (!taken.has(tensor)) tensor.dispose();
  }

  /** The values by the names they have in files. */
  state(names?: NameMap): Map<string, Tensor> {
    return new Map(
      Array.from(this.namedParameters(), ([path, parameter]) => [
        names?.toFile(path) ?? path,
        parameter.value,
      ]),
    );
  }

  /** Writes all values to a safetensors file; a crash leaves the old file or the new one, never half of one. */
  async save(
    path: string,
    { names, metadata }: { readonly names?: NameMap; readonly metadata?: Record<string, string> } = {},
  ): Promise<void> {
    await saveSafetensors(path, this.state(names), metadata === undefined ? {} : { metadata });
  }

  /** The modules inside with their parameters' shapes and counts. */
  toString(): string {
    const lines: string[] = [];
    for (const [path, module] of this.namedModules()) {
      const depth = path === "" ? 0 : path.split(".").length;
      const own = [...fields(module)].filter(
        (entry): entry is [string, Parameter] => entry[1] instanceof Parameter,
      );
      const shapes = own
        .map(([name, { shape, dtype }]) => `${name} ${dtype}[${shape.join(", ")}]`)
        .join("  ");
      const name = path.split(".").slice(-1)[0];
      lines.push(
        `${"  ".repeat(depth)}${name ? `${name}: ` : ""}${module.constructor.name}${shapes ? `  ${shapes}` : ""}`,
      );
    }
    return `${lines.join("\n")}\n${this.parameterCount().toLocaleString("en-US")} parameters`;
  }
}

/** The fields of a module or the items of a collection, by name. @internal */
export function* fields(holder: object): Iterable<[string, unknown]> {
  if (holder instanceof Map) for (const [key, item] of holder) yield [String(key), item];
  else yield* Object.entries(holder);
}

/** All parameters and modules below `holder`, each once, depth first, in the order of the fields. */
function* walk(
  holder: object,
  prefix = "",
  seen = new Set<object>([holder]),
): Iterable<[string, Parameter | Module]> {
  for (const [name, item] of fields(holder)) {
    if (typeof item !== "object" || item === null || seen.has(item)) continue;
    const isNode = item instanceof Parameter || item instanceof Module;
    if (!isNode && !isCollection(item)) continue;
    // What was seen is not entered again: ties count once, and a field that leads back to a parent ends here.
    seen.add(item);
    const path = prefix === "" ? name : `${prefix}.${name}`;
    if (isNode) yield [path, item];
    if (!(item instanceof Parameter)) yield* walk(item, path, seen);
  }
}

function* parametersOf(module: Module): Iterable<readonly [path: string, parameter: Parameter]> {
  for (const [path, item] of walk(module)) if (item instanceof Parameter) yield [path, item];
}

/** Where a module is in its outermost one, by what its parameters are called; the name of its class where they say nothing. */
function pathOf(module: Module): string {
  for (const [own, parameter] of parametersOf(module)) {
    if (parameter._path === undefined) naming.nameAllWith(parameter);
    const path = parameter._path;
    if (path?.endsWith(`.${own}`)) return path.slice(0, -own.length - 1);
  }
  return module.constructor.name;
}

/** Whether modules are looked for in it. @internal */
export function isCollection(item: object): boolean {
  if (Array.isArray(item) || item instanceof Map) return true;
  const prototype: unknown = Object.getPrototypeOf(item);
  return prototype === Object.prototype || prototype === null;
}

/** @throws FormatError naming the tensors of `where` that do not fit. */
function checkFit(
  where: string,
  wanted: readonly { readonly name: string; readonly parameter: Parameter }[],
  tensors: ReadonlyMap<string, Tensor>,
  strict: boolean,
): void {
  const problems: string[] = [];
  for (const { name, parameter } of wanted) {
    const tensor = tensors.get(name);
    if (tensor === undefined) problems.push(`${name} is missing`);
    else if (tensor.shape.join() !== parameter.shape.join()) {
      problems.push(
        `${name} has shape [${tensor.shape.join(", ")}], the model wants [${parameter.shape.join(", ")}]`,
      );
    } else if (DTYPE_INFO[tensor.dtype].isFloat !== DTYPE_INFO[parameter.dtype].isFloat) {
      problems.push(`${name} has dtype ${tensor.dtype}, the model wants ${parameter.dtype}`);
    }
  }
  const known = new Set(wanted.map(({ name }) => name));
  if (strict)
    for (const name of tensors.keys()) if (!known.has(name)) problems.push(`${name} belongs to no parameter`);
  if (problems.length === 0) return;
  const shown = problems.slice(0, 8).join("\n  ");
  const more = problems.length > 8 ? `\n  and ${problems.length - 8} more` : "";
  throw new FormatError(`${where} does not fit the model:\n  ${shown}${more}`);
}
