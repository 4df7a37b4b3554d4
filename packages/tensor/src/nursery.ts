//! Tensors that no scope owns, while they are young.
import { arena, core } from "./core.js";
import type { Tensor } from "./tensor.js";

/** Tensors that wait together, and the bytes of storage that each may hold: 256 KiB in all. */
const CAPACITY = 64;
const SMALL = 4096;

/**
 * Has the core watch tensors, so that they go once nothing refers to them.
 *
 * Watching costs about as much as a small op, and most small tensors are disposed or kept by a scope soon after they were
 * made. So they wait here until some have come together, and only those that still live are watched.
 */
class Nursery {
  #young: Tensor[] = [];

  /** Takes over a tensor whose storage has `footprint` bytes; a large one is watched at once. */
  _add(tensor: Tensor, footprint: number): void {
    tensor._scope = this;
    this.#young.push(tensor);
    if (footprint > SMALL || this.#young.length >= CAPACITY) this.flush();
  }

  /** Empties the nursery. */
  flush(): void {
    const living: Tensor[] = [];
    for (const tensor of this.#young) {
      if (tensor._scope !== this || tensor._id === 0) continue;
      tensor._scope = null;
      arena[living.length] = tensor._id;
      living.push(tensor);
    }
    this.#young.length = 0;
    if (living.length > 0) core.track(living, living.length);
  }
}

export type { Nursery };

/** The nursery of this environment. @internal */
export const nursery = new Nursery();

/** Frees what was dropped outside of scopes. @internal */
export function collect(): void {
  nursery.flush();
  core.collect();
}
