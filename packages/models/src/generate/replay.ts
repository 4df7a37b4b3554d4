import { CaptureError } from "@openelm/native";
import type { KVCache } from "@openelm/nn";
import { type Captured, scope, type Tensor } from "@openelm/tensor";

/** A function of tensors that runs a model on caches. */
export type Pass<R> = (...args: readonly (Tensor | undefined)[]) => R;

/**
 * A pass that is recorded at its second call and replayed from then on, or run as it is where it cannot be recorded.
 *
 * @param caches - What the pass writes to.
 */
export class Replayed<R> {
  readonly #pass: Pass<R>;
  readonly #caches: readonly KVCache[];
  #captured: Captured<(Tensor | undefined)[], R> | undefined;

  constructor(pass: Pass<R>, caches: readonly KVCache[], capture: boolean) {
    this.#pass = pass;
    this.#caches = caches;
    if (capture)
      this.#captured = caches[0]!.device.capture(pass as (...args: (Tensor | undefined)[]) => never);
  }

  run(...args: readonly (Tensor | undefined)[]): R {
    if (this.#captured === undefined) return scope(() => this.#pass(...args) as never);
    const lengths = this.#caches.map((cache) => cache.lengths);
    try {
      return this.#captured(...args);
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      // The recording ran nothing, but the caches have counted its positions on the host.
      for (const [i, cache] of this.#caches.entries()) cache.crop(lengths[i]!);
      this.#captured.dispose();
      this.#captured = undefined;
      return this.run(...args);
    }
  }

  [Symbol.dispose](): void {
    this.#captured?.dispose();
  }
}
