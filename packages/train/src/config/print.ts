import { stringify } from "yaml";
import { alternatives, configJsonSchema, type JsonSchema, type TrainConfig } from "./schema.js";

/** Options of {@link printTrainConfig}. */
export interface PrintOptions {
  /** Address of `config.schema.json`, by which editors complete and check. */
  readonly schema?: string | undefined;
}

/**
 * A configuration as YAML, every option with what it means; those that are not set stand as comments.
 *
 * Read again, it gives the same configuration.
 */
export function printTrainConfig(config: TrainConfig, { schema }: PrintOptions = {}): string {
  const lines = schema === undefined ? [] : [`# yaml-language-server: $schema=${schema}`, ""];
  printObject(config as unknown as Readonly<Record<string, unknown>>, configJsonSchema(), 0, lines);
  return `${lines.join("\n")}\n`;
}

function printObject(
  value: Readonly<Record<string, unknown>>,
  node: JsonSchema,
  depth: number,
  lines: string[],
): void {
  const indent = "  ".repeat(depth);
  for (const [key, property] of Object.entries(node.properties ?? {})) {
    const inner = value[key];
    const comment = commentOf(property);
    if (inner === undefined) {
      lines.push(`${indent}# ${key}:${comment}`);
    } else if (typeof inner === "object" && inner !== null && !Array.isArray(inner)) {
      lines.push(`${indent}${key}:${comment}`);
      const [meant] = alternatives(property, inner).filter(({ properties }) =>
        Object.keys(inner).every((name) => properties?.[name]),
      );
      printObject(inner as Record<string, unknown>, meant!, depth + 1, lines);
    } else {
      const text = stringify(inner, {
        collectionStyle: "flow",
        lineWidth: 0,
        flowCollectionPadding: false,
      }).trim();
      lines.push(`${indent}${key}: ${text}${comment}`);
    }
  }
}

function commentOf({ description, unit, default: fallback }: JsonSchema): string {
  if (description === undefined) return "";
  const isPlain = typeof fallback !== "object" || Array.isArray(fallback);
  const notes = [
    unit,
    fallback !== undefined && isPlain ? `default ${JSON.stringify(fallback)}` : undefined,
  ].filter((note) => note !== undefined);
  return `  # ${description}${notes.length > 0 ? ` (${notes.join("; ")})` : ""}`;
}
