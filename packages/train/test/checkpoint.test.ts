import { chmod, mkdtemp, readdir, readFile, rm, truncate, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device, FileError, loadSafetensors, seed, UsageError } from "@openelm/tensor";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  averageCheckpoints,
  type CheckpointOptions,
  modelFiles,
  type TrainEvent,
  type Trainer,
  verifyCheckpoint,
  writeFileDurably,
  writeFolderDurably,
} from "../src/index.js";
import { type Tiny, tiny, weightsOf } from "./support/tiny.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "run-"));
  seed(1);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const EVAL = {
  batches: () => [{ inputs: Int32Array.of(1, 2), targets: Int32Array.of(8, 13), shape: [1, 2], tokens: 2 }],
  every: 5,
};

/** A run of 20 steps in a folder, with dropout, evaluations and checkpoints. */
const run = (where: string, options: Parameters<typeof tiny>[0] = {}): Tiny =>
  tiny({ folder: where, checkpoint: { every: 5 }, evaluation: EVAL, ...options }, { dropout: 0.2 });

const checkpoints = async (): Promise<string[]> => (await readdir(join(folder, "checkpoints"))).sort();
const metrics = (where = folder): Promise<string> => readFile(join(where, "metrics.jsonl"), "utf8");

async function collect(trainer: Trainer): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of trainer.run()) events.push(event);
  return events;
}

/** What a run that nothing disturbs ends with. */
async function undisturbed(): Promise<{ weights: Record<string, Float32Array>; log: string }> {
  const where = join(folder, "undisturbed");
  seed(1);
  const { trainer, model } = run(where);
  await trainer.fit();
  return { weights: await weightsOf(model), log: await metrics(where) };
}

describe("a checkpoint", () => {
  test("is a folder with everything and its hashes; latest.json names it", async () => {
    const { trainer } = run(folder, { checkpoint: { every: 5, versions: { openelm: "1.2.3" } } });
    await trainer.fit();
    expect(await checkpoints()).toEqual(["latest.json", "step-00000015", "step-00000020"]);
    const last = join(folder, "checkpoints", "step-00000020");
    expect((await readdir(last)).sort()).toEqual([
      "model.safetensors",
      "optimizer.safetensors",
      "state.json",
    ]);
    expect(JSON.parse(await readFile(join(folder, "checkpoints", "latest.json"), "utf8"))).toEqual({
      folder: "step-00000020",
      step: 20,
    });
    const state = await verifyCheckpoint(last);
    expect(state).toMatchObject({
      version: 1,
      step: 20,
      loader: { next: 80 },
      versions: { openelm: "1.2.3", node: process.versions.node },
    });
    expect(state.generators.dropout!.counter).toBeGreaterThan(0);
    expect((await readdir(folder)).sort()).toEqual([
      "checkpoints",
      "metrics.jsonl",
      "speed.jsonl",
      "tensorboard",
    ]);
  });

  test("is of its step though training goes on while it is written", async () => {
    const slow = run(folder);
    const files = modelFiles(slow.model);
    const { trainer, model } = tiny({
      folder: join(folder, "slow"),
      checkpoint: {
        every: 10,
        files: {
          ...files,
          save: async (to, weights) => {
            await new Promise((resolve) => setTimeout(resolve, 100));
            await files.save(to, weights);
          },
        },
      },
    });
    let at10: Record<string, Float32Array> = {};
    for await (const event of trainer.run())
      if (event.type === "step" && event.step === 10) at10 = await weightsOf(model);
    const saved = await loadSafetensors(
      join(folder, "slow", "checkpoints", "step-00000010", "model.safetensors"),
    );
    for (const [path, tensor] of saved) expect(await tensor.data(), path).toEqual(at10[path]);
  });

  test("of the last n and the best k stay", async () => {
    const { trainer } = run(folder, {
      steps: 20,
      checkpoint: { every: 5, keepLast: 1, keepBest: 2 },
    });
    await trainer.fit();
    const kept = (await checkpoints()).filter((name) => name.startsWith("step"));
    const measured = (await metrics())
      .split("\n")
      .filter((line) => line.includes('"eval"'))
      .map((line) => JSON.parse(line) as { step: number; loss: number });
    const best = [...measured]
      .sort((a, b) => a.loss - b.loss)
      .slice(0, 2)
      .map(({ step }) => step);
    const expected = [...new Set([...best, 20])]
      .sort((a, b) => a - b)
      .map((step) => `step-${String(step).padStart(8, "0")}`);
    expect(measured).toHaveLength(4);
    expect(kept).toEqual(expected);
  });

  test("averages with others, in f64", async () => {
    const { trainer, model } = run(folder, { checkpoint: { every: 5, keepLast: 3, average: 3 } });
    const seen: Record<string, Float32Array>[] = [];
    for await (const event of trainer.run())
      if (event.type === "eval" && event.step >= 10) seen.push(await weightsOf(model));
    const average = await loadSafetensors(join(folder, "average", "model.safetensors"));
    for (const [path, tensor] of average) {
      const want = seen[0]![path]!.map(
        (_, i) => (seen[0]![path]![i]! + seen[1]![path]![i]! + seen[2]![path]![i]!) / 3,
      );
      expect(await tensor.data(), path).toEqual(want);
    }
    await expect(averageCheckpoints([], join(folder, "none"))).rejects.toThrow(UsageError);
  });
});

describe("resume", () => {
  test.each([5, 10, 13])(
    "after %d steps is bitwise: weights and log are those of a run never stopped",
    async (stop) => {
      const whole = await undisturbed();
      seed(1);
      const first = run(folder);
      const controller = new AbortController();
      const reason = new Error("stopped");
      const stopped = (async () => {
        for await (const event of first.trainer.run({ signal: controller.signal }))
          if (event.type === "step" && event.step === stop) controller.abort(reason);
      })();
      await expect(stopped).rejects.toBe(reason);
      seed(99);
      const second = run(folder);
      const events = await collect(second.trainer);
      expect(events[0]).toMatchObject({ type: "resume" });
      expect(await weightsOf(second.model)).toEqual(whole.weights);
      expect(await metrics()).toBe(whole.log);
    },
  );

  test("of a run that is complete does nothing", async () => {
    await run(folder).trainer.fit();
    const log = await metrics();
    const events = await collect(run(folder).trainer);
    expect(events.map(({ type }) => type)).toEqual(["resume", "done"]);
    expect(await metrics()).toBe(log);
  });

  test("may be forbidden", async () => {
    await run(folder).trainer.fit();
    await expect(run(folder, { resume: false }).trainer.fit()).rejects.toThrow(
      /has a run already; continue it with resume: true, or choose another folder/,
    );
  });

  test("with another schedule says so", async () => {
    await run(folder).trainer.fit();
    const events = await collect(run(folder, { steps: 22, schedule: () => 0.5 }).trainer);
    expect(events.find(({ type }) => type === "warning")).toMatchObject({
      message: expect.stringMatching(/the schedule has changed/),
    });
  });

  test("names the table of products in use, and a resume by another one is told", async () => {
    const table = { file: "/cache/products.json", hash: "0123", products: 2, problem: null };
    const inUse = vi.spyOn(Device.prototype, "tuningTable").mockReturnValue(table);
    const events = async (steps: number): Promise<TrainEvent[]> => {
      const all = await collect(run(folder, { steps }).trainer);
      return all.filter(({ type }) => type === "resume" || type === "warning");
    };
    try {
      expect(await events(5)).toEqual([]);
      const { tuning } = await verifyCheckpoint(join(folder, "checkpoints", "step-00000005"));
      expect(tuning).toEqual({ file: "/cache/products.json", hash: "0123", products: 2 });
      expect(await events(6)).toMatchObject([{ type: "resume" }]);
      inUse.mockReturnValue({ ...table, file: null, hash: "4567", products: 0 });
      expect(await events(7)).toMatchObject([
        { type: "resume" },
        {
          type: "warning",
          message: expect.stringMatching(
            /by the tuning table 0123 \(\/cache\/products.json\), and now are by no tuning table/,
          ),
        },
      ]);
      inUse.mockReturnValue(undefined);
      expect(await events(8)).toMatchObject([{ type: "resume" }]);
    } finally {
      inUse.mockRestore();
    }
    const { tuning } = await verifyCheckpoint(join(folder, "checkpoints", "step-00000008"));
    expect(tuning).toBeUndefined();
  });
});

describe("broken checkpoints are passed over", () => {
  const last = (): string => join(folder, "checkpoints", "step-00000020");

  test.each<[string, () => Promise<void>, RegExp]>([
    [
      "a flipped bit",
      async () => {
        const path = join(last(), "model.safetensors");
        const bytes = await readFile(path);
        bytes[bytes.length - 9]! ^= 4;
        await writeFile(path, bytes);
      },
      /model\.safetensors is not what was written: its SHA-256 differs/,
    ],
    [
      "a file cut off",
      () => truncate(join(last(), "optimizer.safetensors"), 100),
      /optimizer\.safetensors has 100 bytes/,
    ],
    ["a missing file", () => unlink(join(last(), "model.safetensors")), /model\.safetensors is missing/],
    ["no state", () => unlink(join(last(), "state.json")), /state\.json is missing/],
    ["a state that is no JSON", () => writeFile(join(last(), "state.json"), "{"), /is not JSON/],
    [
      "a state of another form",
      () => writeFile(join(last(), "state.json"), '{"version":1,"step":-1}'),
      /state\.json: /,
    ],
  ])("%s", async (_what, spoil, message) => {
    const whole = await undisturbed();
    seed(1);
    await run(folder).trainer.fit();
    await spoil();
    const again = run(folder);
    const events = await collect(again.trainer);
    expect(events[0]).toMatchObject({ type: "warning", message: expect.stringMatching(message) });
    expect(events[1]).toMatchObject({ type: "resume", step: 15 });
    expect(await weightsOf(again.model)).toEqual(whole.weights);
    expect(await metrics()).toBe(whole.log);
    expect((await verifyCheckpoint(last())).step).toBe(20);
  });

  test.each(["", "{", '{"folder":"../elsewhere"}', '{"folder":"step-00000099"}'])(
    "latest.json with %j",
    async (content) => {
      await run(folder).trainer.fit();
      await writeFile(join(folder, "checkpoints", "latest.json"), content);
      const events = await collect(run(folder).trainer);
      expect(events.find(({ type }) => type === "resume")).toMatchObject({ step: 20 });
    },
  );

  test("all of them: a new run", async () => {
    await run(folder).trainer.fit();
    for (const name of ["step-00000015", "step-00000020"])
      await unlink(join(folder, "checkpoints", name, "state.json"));
    const events = await collect(run(folder).trainer);
    expect(events.filter(({ type }) => type === "warning")).toHaveLength(2);
    expect(events.some(({ type }) => type === "resume")).toBe(false);
  });

  test("half-made folders of a killed run go", async () => {
    await run(folder).trainer.fit();
    const leftovers = [".new-step-00000025-0badcafe", ".old-step-00000005-0badcafe"];
    for (const name of leftovers) await writeFile(join(folder, "checkpoints", name), "");
    await run(folder).trainer.fit();
    expect((await checkpoints()).filter((name) => name.startsWith("."))).toEqual([]);
  });
});

describe("a disk that takes nothing", () => {
  const full = (): NodeJS.ErrnoException =>
    Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC", syscall: "write" });

  const failing = (tiny: Tiny, fails: () => boolean): CheckpointOptions => {
    const files = modelFiles(tiny.model);
    return {
      every: 5,
      files: {
        ...files,
        save: async (to, weights) => {
          if (fails()) throw full();
          await files.save(to, weights);
        },
      },
    };
  };

  test("for a while costs that checkpoint only", async () => {
    let call = 0;
    const { trainer } = run(folder, { checkpoint: failing(tiny(), () => call++ === 1) });
    const events = await collect(trainer);
    const warning = events.find(({ type }) => type === "warning");
    expect(warning).toMatchObject({
      step: 10,
      message: expect.stringMatching(/step-00000010: the disk is full; free some space/),
    });
    expect(warning).toHaveProperty("error.code", "FILE");
    expect(await checkpoints()).toEqual(["latest.json", "step-00000015", "step-00000020"]);
  });

  test("at the end is an error; the run is kept and can be saved once there is room", async () => {
    let isFull = false;
    const { trainer } = run(folder, {
      checkpoint: failing(tiny(), () => isFull),
      onEvent: ({ step }) => {
        if (step === 12) isFull = true;
      },
    });
    await expect(trainer.fit()).rejects.toThrow(FileError);
    expect(trainer.step).toBe(20);
    expect((await checkpoints()).filter((name) => name.startsWith("step"))).toEqual([
      "step-00000005",
      "step-00000010",
    ]);
    isFull = false;
    const events = await collect(trainer);
    expect(events.map(({ type }) => type)).toEqual(["checkpoint", "done"]);
    expect(await checkpoints()).toContain("step-00000020");
  });

  test("is told by the name that the folder was to have", async () => {
    const target = join(folder, "step-00000001");
    const work = writeFolderDurably(target, async (temporary) => {
      await writeFileDurably(join(temporary, "none", "state.json"), "");
    });
    await expect(work).rejects.toThrow(
      `cannot write ${join(target, "none", "state.json")}: there is no such file or folder`,
    );
    expect(await readdir(folder)).toEqual([]);
  });

  test("for good ends the run", async () => {
    const { trainer } = run(folder, { steps: 100, checkpoint: failing(tiny(), () => true) });
    await expect(trainer.fit()).rejects.toThrow(
      /3 checkpoints in a row could not be saved: .*the disk is full/,
    );
    expect(trainer.step).toBeLessThan(30);
  });

  test("or is no folder", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(run(join(folder, "file", "run")).trainer.fit()).rejects.toThrow(FileError);
    await expect(run(join(folder, "file")).trainer.fit()).rejects.toThrow(
      /a file stands where a folder should be/,
    );
  });

  test.skipIf(process.getuid?.() === 0)("or is read-only", async () => {
    await chmod(folder, 0o500);
    await expect(run(join(folder, "run")).trainer.fit()).rejects.toThrow(/permission is denied/);
    await chmod(folder, 0o700);
  });
});

describe("one run in a folder", () => {
  test("a second is refused while the first goes on", async () => {
    const first = run(folder).trainer.run();
    await first.next();
    await expect(run(folder).trainer.fit()).rejects.toThrow(/is in use by the run of process \d+/);
    await first.return();
    await run(folder).trainer.fit();
  });

  test("the lock of a process that is gone counts for nothing", async () => {
    for (const content of ['{"pid":4194303,"started":"1"}', `{"pid":${process.pid},"started":"1"}`, "{"]) {
      await writeFile(join(folder, "run.lock"), content);
      await run(folder).trainer.fit();
    }
    expect(await readdir(folder)).not.toContain("run.lock");
  });
});
