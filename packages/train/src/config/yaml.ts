import { ConfigError } from "@openelm/native";
import { type Document, isMap, isNode, isScalar, LineCounter, parse, parseDocument } from "yaml";
import { readIfThere } from "../checkpoint/durable.js";
import { tooDeep } from "./nesting.js";
import { type ConfigPath, type ConfigProblem, checkTrainConfig } from "./parse.js";
import type { TrainConfig } from "./schema.js";

/** Options of {@link loadTrainConfig}. */
export interface ConfigSource {
  /** What the command line sets: `"optim.lr=1e-3"`, the value in YAML. It goes before the file. */
  readonly set?: readonly string[] | undefined;
  /** What problems name. Default `config.yaml`. */
  readonly name?: string | undefined;
}

/** A `key.key=value` of the command line. */
interface Setting {
  readonly path: string[];
  readonly value: unknown;
  readonly text: string;
}

/**
 * Reads a configuration file, applies what the command line sets, checks it and fills in defaults.
 *
 * @throws ConfigError with file, line, column, key and the nearest known key; FileError if it cannot be read.
 * @example
 * ```ts no-run
 * const config = await loadTrainConfig("train.yaml", { set: ["optim.lr=1e-3"] });
 * ```
 */
export async function loadTrainConfig(
  path: string,
  { set = [] }: Omit<ConfigSource, "name"> = {},
): Promise<TrainConfig> {
  const text = await readIfThere(path);
  if (text === undefined) throw new ConfigError(`there is no configuration file ${path}`);
  return parseTrainYaml(text, { set, name: path });
}

/** The same for the text of a file. */
export function parseTrainYaml(
  text: string,
  { set = [], name = "config.yaml" }: ConfigSource = {},
): TrainConfig {
  const deep = tooDeep(text);
  if (deep !== undefined)
    throw new ConfigError(`${name}: lists and mappings are nested too deep at character ${deep}`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map(({ pos, message }) => `${place(pos[0])}: ${message}`).join("\n"),
    );
  }
  const settings = set.map(readSetting);
  for (const setting of settings) apply(document, setting);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new ConfigError(`${name}: ${(cause as Error).message}`, { cause });
  }
  const { config, problems } = checkTrainConfig(value ?? {});
  if (config !== undefined) return config;
  const described = problems.map((problem) => {
    const setting = settings.find((s) => s.path.every((key, i) => String(problem.path[i]) === key));
    const where = setting ? `--set ${setting.text}` : place(offsetOf(document, problem));
    const key = problem.path.join(".");
    return `${where}: ${key === "" ? "" : `${key}: `}${problem.message}`;
  });
  throw new ConfigError(described.join("\n"));
}

function readSetting(text: string): Setting {
  const equals = text.indexOf("=");
  const path = text.slice(0, Math.max(equals, 0)).split(".");
  if (equals < 1 || path.includes(""))
    throw new ConfigError(`--set ${text}: write it as key.key=value, such as optim.lr=1e-3`);
  if (tooDeep(text.slice(equals + 1)) !== undefined)
    throw new ConfigError(`--set ${text.slice(0, 60)}: lists and mappings are nested too deep`);
  try {
    return { path, value: parse(text.slice(equals + 1)) as unknown, text };
  } catch (cause) {
    throw new ConfigError(`--set ${text}: the value is no YAML: ${(cause as Error).message.split("\n")[0]}`, {
      cause,
    });
  }
}

function apply(document: Document, { path, value }: Setting): void {
  if (!isMap(document.contents)) document.contents = document.createNode({}) as never;
  // A plain value in the way, such as `model: OpenELM-270M`, gives place to options.
  for (let length = 1; length < path.length; length++) {
    const above = document.getIn(path.slice(0, length), true);
    if (above !== undefined && isScalar(above)) document.deleteIn(path.slice(0, length));
  }
  document.setIn(path, document.createNode(value));
}

/** Where in the text a problem is: at the key, at the value, or at what should have held it. */
function offsetOf(document: Document, { path, isKey }: ConfigProblem): number {
  if (isKey || path.length > 0) {
    const holder = nodeAt(document, path.slice(0, -1));
    const pair = isMap(holder)
      ? holder.items.find(({ key }) => isScalar(key) && String(key.value) === String(path.at(-1)))
      : undefined;
    const found = isKey || !isNode(pair?.value) ? pair?.key : pair.value;
    if (isNode(found) && found.range) return found.range[0];
  }
  for (let length = path.length; length >= 0; length--) {
    const node = nodeAt(document, path.slice(0, length));
    if (isNode(node) && node.range) return node.range[0];
  }
  return 0;
}

const nodeAt = (document: Document, path: ConfigPath): unknown =>
  path.length === 0 ? document.contents : document.getIn(path, true);
