//! Functions that are recorded once and replayed: which recording a call wants, and how it is made.
import { CaptureError, UsageError } from "@openelm/native";
import { currentAutocast } from "./autocast.js";
import { isRecording, whileRecording } from "./capture-state.js";
import { arena, core } from "./core.js";
import { defaults } from "./defaults.js";
import { type Device, device as deviceOf } from "./device.js";
import { type DrawSpec, Draws } from "./draws.js";
import { currentInterceptor, readOutputs } from "./funnel.js";
import { full } from "./generated/internal.js";
import { broadcastTo } from "./generated/ops.js";
import { Scope, type Synchronous, scope } from "./scope.js";
import { Tensor } from "./tensor.js";
import { mapTensors, visitTensors } from "./tree.js";

/** What `device.capture` gives: called as the function itself, and freed with its recordings by `dispose`. */
export interface Captured<A extends readonly unknown[], R> {
  (...args: A): R;
  /** Recordings that are ready to be replayed. */
  readonly recordings: number;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Options of `device.capture`. */
export interface CaptureOptions {
  /**
   * Whether the function has been called already, outside, so that nothing is left that its first call makes: the first
   * call with a signature then records. Default `false`.
   */
  readonly warm?: boolean | undefined;
}

/** Signatures that one function keeps; the least used goes. */
const CAPACITY = 8;

/** A signature that was called or recorded. */
interface Recorded {
  /** Whether the function has run as it is, so that what its first call makes is there. */
  called: boolean;
  /** In the core; 0 before it is recorded. */
  number: number;
  /** The result with a {@link Slot} for each tensor. */
  result: unknown;
  outputs: number;
  /** What a replay repeats on the host. */
  hostSteps: readonly (() => void)[];
  /** What a replay draws. */
  draws: Draws;
}

/** Stands for the tensor `index` of a replay. */
class Slot {
  readonly index: number;
  constructor(index: number) {
    this.index = index;
  }
}

/** Frees recordings of functions that were dropped; there are few of them, and nothing else waits for it. */
const dropped = new FinalizationRegistry<Map<string, Recorded>>(release);

function release(signatures: Map<string, Recorded>): void {
  for (const { number } of signatures.values()) if (number !== 0) core.captureRelease(number);
  signatures.clear();
}

/** @internal */
export function capture<A extends readonly unknown[], R>(
  device: Device,
  fn: (...args: A) => Synchronous<R>,
  { warm = false }: CaptureOptions = {},
): Captured<A, R> {
  const signatures = new Map<string, Recorded>();
  let warned = false;
  let disposed = false;

  function touch(key: string): Recorded {
    const known = signatures.get(key) ?? fresh(warm);
    // A Map keeps its order: the least used comes first.
    signatures.delete(key);
    signatures.set(key, known);
    if (signatures.size > CAPACITY) {
      const [oldest, { number }] = signatures.entries().next().value!;
      if (number !== 0) core.captureRelease(number);
      signatures.delete(oldest);
      if (!warned) {
        warned = true;
        const text = `a captured function is called with more than ${CAPACITY} signatures and records again and again; pass what changes as a tensor of one shape`;
        process.emitWarning(text, { code: "OPENELM_CAPTURE" });
      }
    }
    return known;
  }

  function run(...args: A): R {
    if (disposed) throw new UsageError("this captured function has been disposed");
    if (isRecording()) return fn(...args) as R;
    if (currentInterceptor() !== null) {
      throw new CaptureError("a captured function has no gradient: take the gradient inside of it");
    }
    const { key, tensors } = signature(args);
    const recorded = touch(key);
    using drawn = new Scope();
    if (submit(recorded, tensors, drawn)) {
      // After it has been taken on: a recording that must be made again runs the function, which does them itself.
      for (const step of recorded.hostSteps) step();
    } else {
      if (recorded.number !== 0) forget(recorded);
      if (!recorded.called) {
        const result = scope(() => fn(...args)) as R;
        recorded.called = true;
        return result;
      }
      Object.assign(recorded, record(device, fn, args));
      submit(recorded, tensors, drawn);
    }
    const outputs = readOutputs(recorded.outputs, tensors, arena);
    return fill(recorded.result, outputs) as R;
  }

  const captured = Object.assign(run, {
    recordings: 0,
    dispose(): void {
      disposed = true;
      release(signatures);
    },
    [Symbol.dispose](): void {
      captured.dispose();
    },
  });
  Object.defineProperty(captured, "recordings", {
    get: () => [...signatures.values()].filter(({ number }) => number !== 0).length,
  });
  dropped.register(captured, signatures);
  return captured;
}

const fresh = (called: boolean): Recorded => ({
  called,
  number: 0,
  result: undefined,
  outputs: 0,
  hostSteps: [],
  draws: new Draws(standInLike),
});

/** Runs a recording; false where there is none, or none that is still good. What it draws belongs to `drawn`. */
function submit({ number, draws }: Recorded, tensors: readonly Tensor[], drawn: Scope): boolean {
  if (number === 0) return false;
  const all = [...tensors, ...drawn.run(() => draws.make())];
  const ids = Float64Array.from(all, (tensor) => tensor._live);
  if (!core.replay(number, ids)) return false;
  draws.advance();
  return true;
}

/** What took the place of a tensor that was freed may want others that are made at its first use. */
function forget(recorded: Recorded): void {
  core.captureRelease(recorded.number);
  recorded.number = 0;
  recorded.called = false;
}

/** Runs `fn` with calls recorded: once, or twice where it turns out to draw random numbers. */
function record<A extends readonly unknown[]>(
  device: Device,
  fn: (...args: A) => unknown,
  args: A,
): Omit<Recorded, "called"> {
  const first = recordOnce(device, fn, args, []);
  if (first.draws.isPrepared) return first;
  core.captureRelease(first.number);
  if (first.hostSteps.length > 0) {
    throw new CaptureError(
      "random numbers are drawn beside what each run repeats on the host; draw them outside",
    );
  }
  const second = recordOnce(device, fn, args, first.draws.specs);
  if (second.draws.isPrepared) return second;
  core.captureRelease(second.number);
  throw new CaptureError("the function draws something else each time");
}

function recordOnce<A extends readonly unknown[]>(
  device: Device,
  fn: (...args: A) => unknown,
  args: A,
  specs: readonly DrawSpec[],
): Omit<Recorded, "called"> {
  core.captureBegin(device.id);
  const draws = new Draws(standInLike);
  try {
    let outputs = 0;
    let result: unknown;
    // What is made inside is gone before the recording ends, which the core checks.
    using inside = new Scope();
    const hostSteps = whileRecording(draws, () => {
      const inputs = inside.run(() => mapTensors(args, standIn) as object) as unknown as A;
      inside.run(() => draws.prepare(specs));
      const value = inside.run(() => fn(...inputs) as object);
      const ids: number[] = [];
      result = mapTensors(value, (tensor) => new Slot(ids.push(tensor._live) - 1));
      visitTensors(value, () => outputs++);
      if (outputs !== ids.length) {
        throw new CaptureError("a captured function returns its tensors in arrays, plain objects and Maps");
      }
      core.captureOutputs(Float64Array.from(ids));
    });
    inside.dispose();
    draws.check();
    return { number: core.captureEnd(), result, outputs, hostSteps, draws };
  } catch (error) {
    core.captureAbort();
    throw error;
  } finally {
    draws.settle();
  }
}

/** A view of one number serves as the model: it takes no memory. */
const standInLike = ({ shape, dtype, device }: DrawSpec): Tensor =>
  standIn(broadcastTo(full([], 0, { dtype, device }), shape));

function standIn(argument: Tensor): Tensor {
  core.captureInput(argument._live);
  return Tensor._fromArena();
}

/** `template` with the tensors of a replay. */
function fill(template: unknown, outputs: readonly (Tensor | null)[]): unknown {
  if (template instanceof Slot) return outputs[template.index];
  if (Array.isArray(template)) return template.map((item) => fill(item, outputs));
  if (template instanceof Map) return new Map([...template].map(([key, item]) => [key, fill(item, outputs)]));
  if (!isPlain(template)) return template;
  return Object.fromEntries(Object.entries(template).map(([key, item]) => [key, fill(item, outputs)]));
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** What a recording depends on beside captured tensors: the arguments, tensors by their specs, and the contexts in force. */
function signature(args: readonly unknown[]): { key: string; tensors: Tensor[] } {
  const { device, dtype } = defaults();
  const tensors: Tensor[] = [];
  const parts = [`${deviceOf(device).name} ${dtype} ${currentAutocast()}`];
  const add = (value: unknown): void => {
    if (value instanceof Tensor) {
      tensors.push(value);
      parts.push(`${value.dtype}[${value.shape.join()}]@${value.device.name}`);
    } else if (Array.isArray(value)) {
      parts.push(`[${value.length}`);
      value.forEach(add);
    } else if (value instanceof Map || isPlain(value)) {
      const entries = value instanceof Map ? [...value] : Object.entries(value);
      parts.push(`{${entries.length}`);
      for (const [key, item] of entries) {
        add(key);
        add(item);
      }
    } else if ((typeof value === "object" && value !== null) || typeof value === "function") {
      parts.push(`#${identity(value)}`);
    } else {
      parts.push(`${typeof value} ${Object.is(value, -0) ? "-0" : JSON.stringify(String(value))}`);
    }
  };
  args.forEach(add);
  return { key: parts.join("|"), tensors };
}

const identities = new WeakMap<object, number>();
let lastIdentity = 0;

/** A number for an object that is captured as it is, such as a module. */
function identity(value: object): number {
  let number = identities.get(value);
  if (number === undefined) {
    number = ++lastIdentity;
    identities.set(value, number);
  }
  return number;
}
