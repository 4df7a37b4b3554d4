import { add, type Tensor } from "@openelm/tensor";

/** Cotangents on their way back; each is freed when the last key that stands for it is done. */
export class Cotangents {
  readonly #byKey = new Map<number, Tensor>();
  /** How many keys share a tensor: a sum hands one cotangent to both of its terms. */
  readonly #uses = new Map<Tensor, number>();
  readonly #isOurs: (tensor: Tensor) => boolean;

  /** `isOurs` tells tensors that were made on the way from those of others, which are never freed here. */
  constructor(isOurs: (tensor: Tensor) => boolean) {
    this.#isOurs = isOurs;
  }

  get(key: number): Tensor | undefined {
    return this.#byKey.get(key);
  }

  /** Adds `grad` to what has come for `key`, and gives the sum. */
  add(key: number, grad: Tensor): Tensor {
    const before = this.#byKey.get(key);
    const own = this.#isOurs(grad) ? grad : grad._share();
    const sum = before === undefined ? own : add(before, own);
    this.#uses.set(sum, (this.#uses.get(sum) ?? 0) + 1);
    this.#byKey.set(key, sum);
    if (before !== undefined) this.#drop(before);
    return sum;
  }

  delete(key: number): void {
    const grad = this.#byKey.get(key);
    this.#byKey.delete(key);
    if (grad !== undefined) this.#drop(grad);
  }

  #drop(grad: Tensor): void {
    const uses = this.#uses.get(grad)! - 1;
    this.#uses.set(grad, uses);
    if (uses > 0) return;
    this.#uses.delete(grad);
    grad.dispose();
  }
}
