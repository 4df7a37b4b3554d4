//! How the weights of a folder are quantized, as `config.json` says it in the words of MLX.
import { FormatError } from "@openelm/native";
import { shown } from "../convert/shown.js";

/** Bits of a code, and weights that share a scale and a bias. */
export interface AffineGroups {
  readonly bits: number;
  readonly group: number;
}

/** The setting for all layers, and those for single layers by their names in the file; `undefined` is not quantized. */
export interface Quantization extends AffineGroups {
  readonly layers: ReadonlyMap<string, AffineGroups | undefined>;
}

/**
 * Reads `quantization` of a `config.json`; undefined where it has none.
 *
 * @throws FormatError naming the file and the key.
 */
export function parseQuantization(
  json: Readonly<Record<string, unknown>>,
  path: string,
): Quantization | undefined {
  const value = json.quantization ?? json.quantization_config;
  if (value === undefined || value === null) return undefined;
  const all = groups(value, "quantization", path);
  const layers = new Map<string, AffineGroups | undefined>();
  for (const [name, entry] of Object.entries(value as Record<string, unknown>)) {
    if (entry === false) layers.set(name, undefined);
    else if (typeof entry === "object" && entry !== null) layers.set(name, groups(entry, name, path));
  }
  return { ...all, layers };
}

function groups(value: unknown, key: string, path: string): AffineGroups {
  const { bits, group_size: group, mode = "affine" } = value as Record<string, unknown>;
  const isKnown =
    Number.isInteger(bits) &&
    (bits as number) >= 2 &&
    (bits as number) <= 8 &&
    [32, 64, 128].includes(group as number);
  if (isKnown && mode === "affine") return { bits: bits as number, group: group as number };
  throw new FormatError(
    `${path}: ${key} must have bits 2 to 8, group_size 32, 64 or 128 and the mode affine, got ${shown(value)}`,
    { path },
  );
}

/** How the layer of a name is quantized. */
export function quantizationOf(
  quantization: Quantization | undefined,
  layer: string,
): AffineGroups | undefined {
  if (quantization === undefined) return undefined;
  return quantization.layers.has(layer) ? quantization.layers.get(layer) : quantization;
}

/** `quantization` of a `config.json` for layers by their names in the file: the most usual setting, and the others by name. */
export function quantizationJson(layers: ReadonlyMap<string, AffineGroups>): Record<string, unknown> {
  const counts = new Map<string, number>();
  const key = ({ bits, group }: AffineGroups): string => `${bits} ${group}`;
  for (const setting of layers.values()) counts.set(key(setting), (counts.get(key(setting)) ?? 0) + 1);
  const [usual] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? ["4 64"];
  const [bits, group] = usual.split(" ").map(Number) as [number, number];
  const others = [...layers].filter(([, setting]) => key(setting) !== usual);
  return {
    group_size: group,
    bits,
    mode: "affine",
    ...Object.fromEntries(others.map(([name, s]) => [name, { group_size: s.group, bits: s.bits }])),
  };
}
