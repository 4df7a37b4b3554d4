import { vjp } from "@openelm/autograd";
import { type Tensor, uniform } from "@openelm/tensor";
import { type Comparison, compare } from "./compare.js";
import type { Measurement } from "./measure.js";
import type { PeerCase } from "./peer.js";

/** An op that is measured forwards and backwards. */
export interface Passes {
  readonly name: string;
  readonly unit: "GFLOP/s" | "GB/s";
  /** Work of the forward and of the backward pass. */
  readonly work: readonly [forward: number, backward: number];
  readonly f: (...inputs: Tensor[]) => Tensor;
  readonly inputs: readonly Tensor[];
  readonly torch: PeerCase;
  /** New bounds for the work of a pass. */
  readonly limit: (work: number) => Comparison["limit"];
}

/** Two measurements: the function alone, and its gradient alone, from what the forward pass saved. */
export async function* bothPasses(passes: Passes): AsyncGenerator<Measurement> {
  const { name, unit, work, f, inputs, torch } = passes;
  yield await compare({
    name: `${name} forward`,
    unit,
    work: work[0],
    ours: () => f(...inputs),
    torch: { ...torch, backward: false },
    ...bound(passes.limit(work[0])),
  });
  const { value, pull } = vjp(f, inputs, { retain: true });
  const cotangent = uniform(value.shape, { dtype: value.dtype });
  yield await compare({
    name: `${name} backward`,
    unit,
    work: work[1],
    ours: () => pull(cotangent),
    torch: { ...torch, backward: true },
    ...bound(passes.limit(work[1])),
  });
  pull[Symbol.dispose]();
}

const bound = (limit: Comparison["limit"]): Pick<Comparison, "limit"> => (limit ? { limit } : {});
