// What a call costs beside its arithmetic: the sum of eight numbers from JavaScript, computed and freed.
import { createRequire } from "node:module";
import { setImmediate } from "node:timers/promises";
import { add, scope, type Tensor, tensor } from "@openelm/tensor";
import type { Measurement } from "../lib/measure.js";
import { PEERS } from "../lib/places.js";
import { type Contender, takeTurns } from "../lib/turns.js";

/** What every peer addon exports. */
interface Floats {
  add(other: Floats): Floats;
  first(): number;
  free(): void;
}
interface Addon {
  readonly Floats: new (values: Float32Array) => Floats;
  noop(): void;
}

const ADDONS = {
  "napi-rs class": "napi-class.node",
  "Node-API in C": "node-api.node",
  "node-gyp + nan": "nan/build/Release/nan_class.node",
} as const;

const VALUES = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
/** Calls between two looks at the event loop, where finalizers run. */
const CHUNK = 10_000;
/** Results that live together in a scope. */
const GROUP = 100;

/** How results come to their end; each kind is compared with peers that do the same. */
type Ending = "scope" | "dispose" | "dropped";
const TITLES: Record<Ending, string> = {
  scope: `in a scope of ${GROUP}`,
  dispose: "dispose()",
  dropped: "dropped",
};

export async function* bench(): AsyncGenerator<Measurement> {
  const addons = new Map(Object.entries(ADDONS).map(([name, file]) => [name, load(file)]));
  const crossing = addons.get("Node-API in C");
  for (const ending of ["scope", "dispose", "dropped"] as const) {
    const contenders: Record<string, Contender> = { ours: ourTurn(ending) };
    for (const [name, addon] of addons) if (addon) contenders[name] = peerTurn(addon, ending);
    if (crossing) contenders.limit = chunks((count) => repeat(count, crossing.noop));
    const seconds = await takeTurns(contenders, { rounds: 9 });
    const micros = (who: string): number | undefined => seconds[who] && seconds[who] * 1e6;
    yield {
      name: `bindings/dispatch ${TITLES[ending]}`,
      unit: "µs",
      faster: "smaller",
      ours: micros("ours")!,
      peers: Object.fromEntries(Array.from(addons.keys(), (name) => [name, micros(name) ?? null])),
      limit: micros("limit"),
    };
  }
}

function load(file: string): Addon | undefined {
  try {
    return createRequire(import.meta.url)(PEERS + file) as Addon;
  } catch {
    return undefined;
  }
}

/** Times `run`, in chunks with a turn of the event loop after each: a sustained rate, with all that is put off. */
function chunks(run: (count: number) => void, finish: () => void = () => undefined): Contender {
  return async (calls) => {
    const since = performance.now();
    for (let left = calls; left > 0; left -= CHUNK) {
      run(Math.min(CHUNK, left));
      await setImmediate();
    }
    finish();
    return (performance.now() - since) / 1e3;
  };
}

function repeat(count: number, fn: () => void): void {
  for (let i = 0; i < count; i++) fn();
}

function ourTurn(ending: Ending): Contender {
  const a = tensor(VALUES);
  const b = tensor(VALUES);
  const runs: Record<Ending, (count: number) => void> = {
    scope: (count) => {
      for (let left = count; left > 0; left -= GROUP) scope(() => adds(a, b, Math.min(GROUP, left)));
    },
    dispose: (count) => {
      for (let i = 0; i < count; i++) add(a, b).dispose();
    },
    dropped: (count) => adds(a, b, count),
  };
  return chunks(runs[ending], () => a.device.synchronizeSync());
}

function adds(a: Tensor, b: Tensor, count: number): void {
  for (let i = 0; i < count; i++) add(a, b);
}

function peerTurn({ Floats }: Addon, ending: Ending): Contender {
  const a = new Floats(VALUES);
  const b = new Floats(VALUES);
  if (a.add(b).first() !== 2) throw new Error("a peer adds wrongly");
  const runs: Record<Ending, (count: number) => void> = {
    scope: (count) => {
      const group: Floats[] = [];
      for (let i = 0; i < count; i++) {
        group.push(a.add(b));
        if (group.length < GROUP && i + 1 < count) continue;
        for (const result of group) result.free();
        group.length = 0;
      }
    },
    dispose: (count) => {
      for (let i = 0; i < count; i++) a.add(b).free();
    },
    dropped: (count) => {
      for (let i = 0; i < count; i++) a.add(b);
    },
  };
  return chunks(runs[ending]);
}
