import type { Device, Tensor } from "@openelm/tensor";

/** Says which tokens may come next, token by token. */
export interface Constraint {
  /** `[1, vocabulary]` bool. */
  mask(device: Device): Tensor;
  /** Goes on by a token that was made. */
  accept(id: number): void;
}
