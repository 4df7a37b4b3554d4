import { ConfigError } from "@openelm/native";

/** Throws a ConfigError unless `value` is an integer from `least` to `most`. */
export function requireInteger(name: string, value: number, least: number, most = 0xffff_ffff): void {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new ConfigError(`${name} must be an integer from ${least} to ${most}, not ${String(value)}`);
  }
}

/** Throws a ConfigError that names the keys of `options` which are not in `known`. */
export function requireKnown(what: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).filter((key) => !known.includes(key));
  if (unknown.length > 0) {
    throw new ConfigError(`${what} has no option ${unknown.join(", ")}; there are ${known.join(", ")}`);
  }
}
