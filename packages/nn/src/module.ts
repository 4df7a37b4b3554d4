import {
  type DeviceLike,
  DTYPES,
  type DType,
  FormatError,
  loadSafetensors,
  saveSafetensors,
  type Tensor,
  TREE,
  type TreeEntry,
  type TreeNode,
  UsageError,
} from "@openelm/tensor";
import { Buffer, naming, Parameter } from "./parameter.js";

/** How parameter paths are called in files. */
export interface NameMap {
  /** The name in the file of the parameter at `path`. */
  toFile(path: string): string;
}

/** Options of {@link Module.load}. */
export interface LoadOptions {
  readonly names?: NameMap | undefined;
  /** Casts the values; without it they keep the dtype of the file. */
  readonly dtype?: DType | undefined;
  readonly device?: DeviceLike | undefined;
  /** Whether tensors of the file that no parameter wants are an error. Default `true`. */
  readonly strict?: boolean | undefined;
  /** Maps the file instead of reading it, for inference: nothing is copied, and the file must not change. */
  readonly mmap?: boolean | undefined;
}

/** Modules in the order of their construction whose parameters may not have paths yet; parents come before children. */
let unnamed: WeakRef<Module>[] = [];

naming.nameAllWith = (wanted) => {
  // A parent's constructor starts before those of its children: the first module that holds the parameter is its root.
  while (wanted._path === undefined && unnamed.length > 0) {
    const root = unnamed[0]!.deref();
    if (root === undefined || !root._nameParameters()) unnamed.shift();
  }
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
    unnamed.push(new WeakRef(this));
    if (unnamed.length % 4096 === 0) unnamed = unnamed.filter((ref) => ref.deref() !== undefined);
  }

  /** Whether dropout and the like are active. */
  get training(): boolean {
    return this.#training;
  }

  /** Parameters and buffers with their paths, each once, in the order of their fields. */
  *namedParameters(): Iterable<readonly [path: string, parameter: Parameter]> {
    const seen = new Set<Parameter>();
    for (const [path, item] of walk(this, "")) {
      if (!(item instanceof Parameter) || seen.has(item)) continue;
      seen.add(item);
      yield [path, item];
    }
  }

  /** All modules inside, this one first, with their paths. */
  *namedModules(): Iterable<readonly [path: string, module: Module]> {
    yield ["", this];
    for (const [path, item] of walk(this, "")) if (item instanceof Module) yield [path, item];
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
      yield { path, tensor: parameter.value, trainable: parameter.trainable };
    }
  }

  /** Gives parameters without a path theirs; whether there were any. @internal */
  _nameParameters(): boolean {
    let any = false;
    for (const [path, parameter] of this.namedParameters()) {
      if (parameter._path !== undefined) continue;
      parameter._path = path;
      any = true;
    }
    return any;
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

  /** Moves all parameters to a device, or casts the floats among them. */
  to(target: DType | DeviceLike): this {
    const isDType = DTYPES.includes(target as DType);
    for (const parameter of this.parameters()) {
      parameter._to(isDType ? { dtype: target as DType } : { device: target as DeviceLike });
    }
    return this;
  }

  /** Wants no gradients for the parameters whose path matches; how many those are. */
  freeze(pattern: RegExp = /(?:)/): number {
    return this.#setTrainable(pattern, false);
  }

  /** The opposite of {@link freeze}. */
  unfreeze(pattern: RegExp = /(?:)/): number {
    return this.#setTrainable(pattern, true);
  }

  #setTrainable(pattern: RegExp, trainable: boolean): number {
    const matching = [...this.namedParameters()].filter(
      ([path, p]) => pattern.test(path) && !(p instanceof Buffer),
    );
    for (const [, parameter] of matching) parameter.trainable = trainable;
    return matching.length;
  }

  /**
   * Takes parameter values from tensors by name, or from a safetensors file.
   *
   * Nothing is initialized first, and nothing is changed if a tensor is missing, left over or of another shape.
   *
   * @throws FormatError naming the tensors that do not fit.
   */
  async load(source: string | ReadonlyMap<string, Tensor>, options: LoadOptions = {}): Promise<this> {
    const { names, dtype, device, strict = true, mmap = false } = options;
    const tensors = typeof source === "string" ? await loadSafetensors(source, { device, mmap }) : source;
    const wanted = Array.from(this.namedParameters(), ([path, parameter]) => ({
      name: names?.toFile(path) ?? path,
      parameter,
    }));
    const where = typeof source === "string" ? source : "the given tensors";
    checkNames(where, wanted, tensors, strict);
    for (const { name, parameter } of wanted) {
      const tensor = tensors.get(name)!;
      parameter.value = dtype === undefined ? tensor : tensor.to(dtype);
    }
    return this;
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

/** The fields of a module or the items of a collection, by name. */
function* fields(holder: object): Iterable<[string, unknown]> {
  if (holder instanceof Map) for (const [key, item] of holder) yield [String(key), item];
  else yield* Object.entries(holder);
}

/** All parameters and modules below `holder`, depth first, in the order of the fields. */
function* walk(holder: object, prefix: string): Iterable<[string, Parameter | Module]> {
  for (const [name, item] of fields(holder)) {
    if (typeof item !== "object" || item === null) continue;
    const path = prefix === "" ? name : `${prefix}.${name}`;
    if (item instanceof Parameter) yield [path, item];
    else if (item instanceof Module) {
      yield [path, item];
      yield* walk(item, path);
    } else if (Array.isArray(item) || item instanceof Map || isPlain(item)) yield* walk(item, path);
  }
}

const isPlain = (item: object): boolean => Object.getPrototypeOf(item) === Object.prototype;

function checkNames(
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
