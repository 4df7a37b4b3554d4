import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FileError, FormatError } from "@openelm/native";
import { loadSafetensors, type Safetensors } from "@openelm/tensor";
import { Filler } from "./fill.js";

/** A folder of goldens, with the parameters that it was made from. */
export interface Goldens {
  readonly dir: string;
  readonly params: Params;
  readonly fill: Filler;
  json<T>(name: string): Promise<T>;
  tensors(name: string): Promise<Safetensors>;
}

/** What the checks need of `params.json`. */
export interface Params {
  readonly seed: number;
  readonly model: {
    readonly B: number;
    readonly T: number;
    readonly z_eps_grad: number;
    readonly steps: number;
  };
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new FileError(`${path} cannot be read`, { path, cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${path} is not JSON: ${(cause as Error).message}`, { path, cause });
  }
}

export async function openGoldens(dir: string, paramsPath: string): Promise<Goldens> {
  const params = (await readJson(paramsPath)) as Params;
  if (!Number.isInteger(params?.seed))
    throw new FormatError(`${paramsPath} has no whole number "seed"`, { path: paramsPath });
  return {
    dir,
    params,
    fill: new Filler(params.seed),
    json: async <T>(name: string) => (await readJson(join(dir, name))) as T,
    tensors: (name) => loadSafetensors(join(dir, name)),
  };
}
