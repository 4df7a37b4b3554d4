import { type Tensor, TREE, type TreeEntry, type TreeNode, UsageError } from "@openelm/tensor";

/** Gradients of a module's parameters by path; frozen parameters are absent, unused ones `null`. */
export class Gradients implements TreeNode {
  readonly #byPath: Map<string, Tensor | null>;

  constructor(entries: Iterable<readonly [path: string, grad: Tensor | null]>) {
    this.#byPath = new Map(entries);
  }

  /**
   * The gradient of the parameter at `path`.
   *
   * @throws UsageError if there is no such trainable parameter.
   */
  get(path: string): Tensor | null {
    const grad = this.#byPath.get(path);
    if (grad === undefined) {
      throw new UsageError(
        `there is no gradient for "${path}"; there are: ${[...this.#byPath.keys()].join(", ")}`,
      );
    }
    return grad;
  }

  has(path: string): boolean {
    return this.#byPath.has(path);
  }

  paths(): string[] {
    return [...this.#byPath.keys()];
  }

  entries(): IterableIterator<[string, Tensor | null]> {
    return this.#byPath.entries();
  }

  *[TREE](): Iterable<TreeEntry> {
    for (const [path, tensor] of this.#byPath) if (tensor !== null) yield { path, tensor, trainable: true };
  }

  /** Frees all gradients. */
  dispose(): void {
    for (const grad of this.#byPath.values()) grad?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
