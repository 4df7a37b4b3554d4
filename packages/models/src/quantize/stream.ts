import { setImmediate } from "node:timers/promises";
import { inference } from "@openelm/autograd";
import { keep, scope, type Tensor, transpose } from "@openelm/tensor";
import type { Place } from "./places.js";

/** What flows between the layers of a model for each of some texts, brought forward layer by layer. */
export class Stream {
  /** `[1, time, dim]` for each text. */
  hidden: readonly Tensor[] = [];
  readonly #signal: AbortSignal | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Starts with what `first` makes of the texts. */
  async begin(ids: readonly Tensor[], first: (ids: Tensor) => Tensor): Promise<void> {
    this.hidden = await this.#each(ids, first);
  }

  /** Goes on to what `layer` gives. */
  async advance(layer: (x: Tensor) => Tensor): Promise<void> {
    const before = this.hidden;
    this.hidden = await this.#each(before, layer);
    for (const x of before) x.dispose();
  }

  /** `Σ x xᵀ` over all positions of what `fn` makes of each item, and frees that. */
  async moments(items: readonly Tensor[], fn: (x: Tensor) => Tensor): Promise<Tensor> {
    let sum: Tensor | undefined;
    for (const item of items) {
      await this.#turn(item);
      const before = sum;
      sum = inference(() =>
        scope(() => {
          const x = fn(item);
          const after = plus(before, x);
          x.dispose();
          return after;
        }),
      );
      before?.dispose();
    }
    return sum!;
  }

  /** The same for the inputs of a layer inside `forward`. */
  momentsInside({ watch }: Pick<Place, "watch">, forward: (x: Tensor) => Tensor): Promise<Tensor> {
    return this.moments(this.hidden, (item) => {
      let input: Tensor | undefined;
      watch(
        (x) => {
          // Layers free what is between their parts.
          input = keep(x.copy());
        },
        () => forward(item),
      );
      return input!;
    });
  }

  async #each(items: readonly Tensor[], fn: (x: Tensor) => Tensor): Promise<Tensor[]> {
    const made: Tensor[] = [];
    for (const item of items) {
      await this.#turn(item);
      made.push(inference(() => scope(() => fn(item))));
    }
    return made;
  }

  /** Lets the event loop turn, and the device come near. */
  async #turn({ device }: Tensor): Promise<void> {
    await setImmediate();
    this.#signal?.throwIfAborted();
    await device.ready({ pending: 512 });
  }

  dispose(): void {
    for (const x of this.hidden) x.dispose();
    this.hidden = [];
  }
}

function plus(sum: Tensor | undefined, x: Tensor): Tensor {
  const rows = x.reshape([-1, x.shape.at(-1)!]).to("f32");
  const squares = transpose(rows).matmul(rows);
  return sum === undefined ? squares : sum.add(squares);
}
