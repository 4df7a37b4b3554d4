import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { FileError, FormatError, UsageError } from "@openelm/native";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { convertModel, fetchModel, isHubName, OpenELM } from "../../src/index.js";
import { filesIn, savedModel, temporary } from "../convert/support.js";
import { Hub } from "./server.js";

const REPO = "somebody/tiny-elm";

let hub: Hub;
let cacheDir: string;
let files: Map<string, Buffer>;

beforeEach(async () => {
  files = filesIn(await savedModel());
  files.set("README.md", Buffer.from("not wanted"));
  files.set("modeling_openelm.py", Buffer.from("import os"));
  files.set("pytorch_model.bin", Buffer.from("a second copy"));
  files.set("tokenizer_config.json", Buffer.from("{}"));
  hub = await Hub.start(REPO, files);
  cacheDir = temporary();
  vi.stubEnv("HF_ENDPOINT", hub.url);
  vi.stubEnv("HF_HUB_CACHE", cacheDir);
  vi.stubEnv("HF_HUB_OFFLINE", undefined);
  return () => hub.stop();
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const weights = (): Buffer => files.get("model.safetensors")!;
const downloads = (): string[] => hub.requests.filter((url) => url.includes("model.safetensors"));
const blobs = (): string[] => readdirSync(join(cacheDir, "models--somebody--tiny-elm/blobs"));

describe("a model of the hub", () => {
  test("comes into the cache as Hugging Face's programs lay it out, without code and second copies", async () => {
    const folder = await fetchModel(REPO);
    const root = join(cacheDir, "models--somebody--tiny-elm");
    expect(folder).toBe(join(root, "snapshots", hub.commit));
    expect(readdirSync(folder).sort()).toEqual(["config.json", "model.safetensors", "tokenizer_config.json"]);
    expect(readFileSync(join(root, "refs/main"), "utf8")).toBe(hub.commit);
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights())).toBe(true);
    if (process.platform !== "win32") {
      expect(readlinkSync(join(folder, "model.safetensors"))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    }
  });

  test("loads and converts by its name", async () => {
    const model = await OpenELM.load(REPO);
    expect(model.config.layers).toBe(3);
    const folder = await fetchModel(`hf:${REPO}@${hub.commit}`);
    await convertModel(folder, join(temporary(), "m.pt"), { to: "corenet" });
    // A commit never changes, so that nobody is asked again.
    hub.requests.length = 0;
    expect(await fetchModel(`${REPO}@${hub.commit}`)).toBe(folder);
    expect(hub.requests).toEqual([]);
  });

  test("is asked for once: what is there is not downloaded again", async () => {
    await fetchModel(REPO);
    const count = downloads().length;
    const seen: number[] = [];
    await fetchModel(REPO, { onProgress: ({ done, total }) => seen.push(done / total) });
    expect(downloads()).toHaveLength(count);
    expect(seen.at(-1)).toBe(1);
    // Another commit with the same content.
    hub.commit = "b".repeat(40);
    const folder = await fetchModel(REPO);
    expect(folder).toContain(hub.commit);
    expect(downloads()).toHaveLength(count);
  });

  test("goes on where the connection broke off, and where an earlier program did", async () => {
    hub.faults.cut = { after: 1000, times: 3 };
    const folder = await fetchModel(REPO);
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights())).toBe(true);
    const begins = downloads()
      .flatMap((url) => /bytes=(\d+)-/.exec(url)?.[1] ?? [])
      .map(Number);
    expect(Math.max(...begins)).toBeGreaterThan(0);
    const sum = blobs().find((name) => name.length === 64)!;
    vi.stubEnv("HF_HUB_CACHE", temporary());
    const place = join(process.env.HF_HUB_CACHE!, "models--somebody--tiny-elm/blobs");
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, `${sum}.incomplete`), weights().subarray(0, 500));
    hub.requests.length = 0;
    const again = await fetchModel(REPO);
    expect(readFileSync(join(again, "model.safetensors")).equals(weights())).toBe(true);
    expect(downloads().some((url) => url.includes("bytes=500-"))).toBe(true);
  });

  test("with another hash than the hub says is refused, and nothing of it stays", async () => {
    hub.faults.corrupt = true;
    await expect(fetchModel(REPO)).rejects.toThrow(FormatError);
    await expect(fetchModel(REPO)).rejects.toThrow(/has the hash [0-9a-f]+, the hub says/);
    expect(blobs()).toEqual([]);
    hub.faults.corrupt = false;
    expect(existsSync(join(await fetchModel(REPO), "config.json"))).toBe(true);
  });

  test("reports how far it is", async () => {
    const seen: number[] = [];
    let all = 0;
    await fetchModel(REPO, {
      onProgress({ done, total }) {
        seen.push(done);
        all = total;
      },
    });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(all);
    expect(all).toBeGreaterThan(weights().length);
  });

  test("stops when it is told to", async () => {
    const controller = new AbortController();
    const loading = fetchModel(REPO, { signal: controller.signal, onProgress: () => controller.abort() });
    await expect(loading).rejects.toThrow(/abort/i);
  });
});

describe("without a network", () => {
  test("HF_HUB_OFFLINE takes what the cache has, and asks nobody", async () => {
    const folder = await fetchModel(REPO);
    hub.requests.length = 0;
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    expect(await fetchModel(REPO)).toBe(folder);
    expect(hub.requests).toEqual([]);
    await expect(fetchModel("somebody/else")).rejects.toThrow(FileError);
    await expect(fetchModel("somebody/else")).rejects.toThrow(/not in the cache, and HF_HUB_OFFLINE is set/);
  });

  test("a model in the cache is taken, and another one is an error that says so", async () => {
    const folder = await fetchModel(REPO);
    await hub.stop();
    expect(await fetchModel(REPO)).toBe(folder);
    await expect(fetchModel("somebody/else")).rejects.toThrow(
      /somebody\/else is not in the cache, and http:\/\/127\.0\.0\.1:\d+ cannot be reached: .*ECONNREFUSED/,
    );
  });

  test("a snapshot that was never whole is not taken", async () => {
    hub.faults.corrupt = true;
    await fetchModel(REPO).catch(() => undefined);
    await expect(fetchModel(REPO, { offline: true })).rejects.toThrow(FileError);
  });
});

describe("what the hub refuses", () => {
  test.each([
    [401, /accept its terms there and put a token into HF_TOKEN/],
    [403, /accept its terms/],
    [404, /has no such model, file or revision/],
    [400, /answers with status 400/],
  ])("status %i is an error that says what to do", async (status, what) => {
    hub.faults.status = status;
    await expect(fetchModel(REPO)).rejects.toThrow(FileError);
    await expect(fetchModel(REPO)).rejects.toThrow(what);
  });

  test("names that are none never leave the machine", async () => {
    for (const name of [
      "model",
      "a/b/c",
      "../a",
      "a/..",
      "/a/b",
      "a b/c",
      "owner/name@../..",
      "a/b@..",
      "",
    ]) {
      await expect(fetchModel(name), name).rejects.toThrow(UsageError);
    }
    expect(hub.requests).toEqual([]);
    expect([isHubName("apple/OpenELM-270M"), isHubName("./a/b"), isHubName("runs/a/model")]).toEqual([
      true,
      false,
      false,
    ]);
  });

  test("files that would lie elsewhere are not taken", async () => {
    files.set("../../evil.safetensors", Buffer.from("x"));
    files.set("folder/other.safetensors", Buffer.from("x"));
    const folder = await fetchModel(REPO);
    expect(readdirSync(folder).some((name) => /evil|other|folder/.test(name))).toBe(false);
    expect(statSync(folder).isDirectory()).toBe(true);
  });
});
