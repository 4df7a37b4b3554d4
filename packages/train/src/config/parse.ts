import { ConfigError } from "@openelm/native";
import type * as z from "zod";
import { nearest } from "./nearest.js";
import { alternatives, configJsonSchema, type JsonSchema, schema, type TrainConfig } from "./schema.js";

/** Keys and list positions from the top. */
export type ConfigPath = readonly (string | number)[];

/** One thing that is wrong. */
export interface ConfigProblem {
  /** The value that is wrong; for an unknown key, the key. */
  readonly path: ConfigPath;
  readonly isKey: boolean;
  readonly message: string;
}

/**
 * Checks a configuration and fills in defaults.
 *
 * @throws ConfigError naming every key that is unknown (with the nearest known one) or has a value that cannot be.
 * @example
 * ```ts
 * const config = parseTrainConfig({ version: 1, model: "OpenELM-270M", data: { shards: "corpus" }, optim: { kind: "adamw", lr: 1e-3 }, steps: 100 });
 * config.batch.sequenceLength; // 2048
 * ```
 */
export function parseTrainConfig(value: unknown): TrainConfig {
  const { config, problems } = checkTrainConfig(value);
  if (config !== undefined) return config;
  throw new ConfigError(
    problems.map(({ path, message }) => `${path.join(".") || "configuration"}: ${message}`).join("\n"),
  );
}

/** The same, with problems as data. @internal */
export function checkTrainConfig(value: unknown): {
  readonly config?: TrainConfig;
  readonly problems: readonly ConfigProblem[];
} {
  const result = schema.safeParse(value);
  const problems = result.success
    ? crossChecks(result.data)
    : result.error.issues.flatMap((issue) => explain(issue, [], value));
  return problems.length === 0 ? { config: result.data as TrainConfig, problems } : { problems };
}

/** What one value alone does not show. */
function crossChecks({
  steps,
  tokens,
  minutes,
  model,
  tokenizer,
  data,
  schedule,
}: TrainConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const wrong = (path: ConfigPath, message: string): number => problems.push({ path, isKey: false, message });
  if (steps === undefined && tokens === undefined && minutes === undefined)
    wrong([], "say when to stop: steps, tokens or minutes");
  if (typeof model === "object" && model.size === undefined) {
    const missing = (["layers", "modelDim", "headDim"] as const).filter((key) => model[key] === undefined);
    if (missing.length > 0) wrong(["model"], `without size, ${missing.join(", ")} must be given`);
  }
  if ("text" in data && tokenizer === undefined) {
    wrong(["data", "text"], "text needs a tokenizer: a file, or { vocabSize } to train one");
  }
  if ("shards" in data && typeof tokenizer === "object") {
    wrong(["tokenizer"], "shards are tokenized already; a tokenizer is trained on data.text only");
  }
  const last = "updates" in schedule ? (schedule.updates ?? steps) : steps;
  if (last !== undefined && schedule.warmup > last)
    wrong(["schedule", "warmup"], `must not be longer than the ${last} updates, got ${schedule.warmup}`);
  return problems;
}

function explain(issue: z.core.$ZodIssue, above: ConfigPath, root: unknown): ConfigProblem[] {
  const path = [...above, ...(issue.path as ConfigPath)];
  const value = at(root, path);
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = keysAt(path, root);
      return issue.keys.map((key) => ({
        path: [...path, key],
        isKey: true,
        message: unknownKey(key, known),
      }));
    }
    case "invalid_union": {
      if (issue.errors.length === 0) {
        const options = (issue as { options?: readonly unknown[] }).options ?? [];
        return [{ path, isKey: false, message: `must be ${options.join(" or ")}, got ${shown(value)}` }];
      }
      return bestBranch(issue.errors, value, path).flatMap((inner) => explain(inner, path, root));
    }
    default:
      return [
        {
          path,
          isKey: false,
          message: value === undefined ? "must be given" : `${rule(issue)}, got ${shown(value)}`,
        },
      ];
  }
}

/** The alternative that was meant: one that has no quarrel with the kind of value, and the fewest with what is in it. */
function bestBranch(
  branches: readonly z.core.$ZodIssue[][],
  value: unknown,
  path: ConfigPath,
): readonly z.core.$ZodIssue[] {
  const refused = (issues: readonly z.core.$ZodIssue[]): boolean =>
    issues.some((i) => i.path.length === 0 && i.code === "invalid_type");
  const open = branches.filter((issues) => !refused(issues));
  if (open.length === 0) {
    const kinds = branches.flat().flatMap((issue) => ("expected" in issue ? [kindOf(issue.expected)] : []));
    const message = `must be ${[...new Set(kinds)].join(" or ")}, got ${shown(value)}`;
    return [{ code: "custom", path: [], message, input: value, params: { path } }];
  }
  return open.reduce((best, issues) => (issues.length < best.length ? issues : best));
}

const kindOf = (type: string): string => `${/^[aeiou]/.test(type) ? "an" : "a"} ${type}`;

function rule(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${issue.expected === "int" ? "a whole number" : kindOf(issue.expected)}`;
    case "too_small":
      if (issue.origin === "string" || issue.origin === "array") return "must not be empty";
      return issue.inclusive ? `must be ${issue.minimum} or more` : `must be above ${issue.minimum}`;
    case "too_big":
      return `must be ${issue.maximum} or less`;
    case "invalid_value":
      return `must be ${issue.values.join(" or ")}`;
    default:
      return issue.message.replace(/, got .*$/, "");
  }
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known);
  return `there is no option "${key}"${near === undefined ? `; there are ${known.join(", ")}` : `; did you mean ${near}?`}`;
}

/** The keys that a configuration may have at a path. */
function keysAt(path: ConfigPath, root: unknown): string[] {
  let nodes: readonly JsonSchema[] = alternatives(configJsonSchema(), root);
  let value = root;
  for (const key of path) {
    value = at(value, [key]);
    nodes = nodes.flatMap(({ properties, items }) => {
      const next = typeof key === "number" ? items : properties?.[key];
      return next ? alternatives(next, value) : [];
    });
  }
  return [...new Set(nodes.flatMap(({ properties }) => Object.keys(properties ?? {})))];
}

function at(value: unknown, path: ConfigPath): unknown {
  return path.reduce<unknown>((inner, key) => {
    if (typeof inner !== "object" || inner === null || !Object.hasOwn(inner, key)) return undefined;
    return (inner as Record<string | number, unknown>)[key];
  }, value);
}

const shown = (value: unknown): string => {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    // An alias may stand inside of what it stands for.
    text = "a value that holds itself";
  }
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
};
