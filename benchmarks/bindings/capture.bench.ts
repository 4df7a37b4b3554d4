// A chain of small ops, called one by one from JavaScript and replayed as one command.
import { setImmediate } from "node:timers/promises";
import { device, scope, type Tensor, tensor } from "@openelm/tensor";
import type { Measurement } from "../lib/measure.js";
import { type Contender, takeTurns } from "../lib/turns.js";

const OPS = 200;
/** Chains between two looks at the event loop. */
const CHUNK = 100;

/** `OPS` ops that depend on each other, with numbers that stay small. */
function chain(x: Tensor, half: Tensor): Tensor {
  let y = x;
  for (let i = 0; i < OPS; i += 2) y = y.mul(half).add(x);
  return y;
}

export async function* bench(): AsyncGenerator<Measurement> {
  const cpu = device("cpu");
  const half = tensor(0.5);
  for (const elements of [8, 1024]) {
    const x = tensor(Float32Array.from({ length: elements }, (_, i) => Math.sin(i)));
    using captured = cpu.capture(chain);
    for (let i = 0; i < 3; i++) check(captured(x, half), chain(x, half));
    const contenders: Record<string, Contender> = {
      replay: turn(() => captured(x, half)),
      eager: turn(() => chain(x, half)),
    };
    const { replay, eager } = await takeTurns(contenders, { rounds: 9 });
    yield {
      name: `bindings/capture ${OPS} ops on ${elements} f32`,
      unit: "µs",
      faster: "smaller",
      ours: replay! * 1e6,
      peers: { "call by call": eager! * 1e6 },
    };
  }
}

function check(replayed: Tensor, wanted: Tensor): void {
  const [a, b] = [replayed.dataSync(), wanted.dataSync()];
  if (a.some((value, i) => value !== b[i])) throw new Error("a replay gives other bits");
}

function turn(run: () => Tensor): Contender {
  return async (calls) => {
    const since = performance.now();
    for (let left = calls; left > 0; left -= CHUNK) {
      for (let i = 0; i < Math.min(CHUNK, left); i++) scope(() => void run());
      await setImmediate();
    }
    device("cpu").synchronizeSync();
    return (performance.now() - since) / 1e3;
  };
}
