import { existsSync } from "node:fs";
import { type FetchModelOptions, fetchModel, isHubName } from "./fetch-model.js";

/** A model's place on this machine: the path itself where there is one, else the folder of a model of the hub. */
export async function modelPlace(name: string, options: FetchModelOptions = {}): Promise<string> {
  return existsSync(name) || !isHubName(name) ? name : fetchModel(name, options);
}
