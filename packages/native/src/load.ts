/// <reference lib="esnext.disposable" />
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { NativeBinding } from "./binding.js";
import { NativeError } from "./errors.js";

const require = createRequire(import.meta.url);
const PACKAGE = join(dirname(fileURLToPath(import.meta.url)), "..");

const LOCAL = "the local build";

/** A place where the core may be, and how it is asked for. */
interface Candidate {
  readonly what: string;
  readonly load: () => unknown;
}

/** `linux-x64-gnu` and the like; the names that napi-rs gives to prebuilt packages. */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform === "linux") return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  if (platform === "win32") return `win32-${arch}-msvc`;
  return `${platform}-${arch}`;
}

function isMusl(): boolean {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime === undefined;
}

/** Each by a literal `require`, so that bundlers see what may be needed. */
const PREBUILT: Readonly<Record<string, () => unknown>> = {
  "linux-x64-gnu": () => require("@openelm/native-linux-x64-gnu"),
  "linux-arm64-gnu": () => require("@openelm/native-linux-arm64-gnu"),
  "darwin-arm64": () => require("@openelm/native-darwin-arm64"),
  "win32-x64-msvc": () => require("@openelm/native-win32-x64-msvc"),
};

function candidates(): Candidate[] {
  const name = platformName();
  const asked = process.env.OPENELM_NATIVE_PATH;
  if (asked) return [{ what: `OPENELM_NATIVE_PATH (${asked})`, load: () => require(asked) }];
  const list: Candidate[] = [];
  const local = join(PACKAGE, `openelm.${name}.node`);
  list.push({
    what: `${LOCAL} (${local})`,
    load: () => {
      if (!existsSync(local)) throw new Error("there is no such file; in a clone run: npm run build:native");
      return require(local);
    },
  });
  const prebuilt = PREBUILT[name];
  list.push({
    what: `the package @openelm/native-${name}`,
    load: () => {
      if (!prebuilt) throw new Error("no prebuilt core is published for this platform");
      return prebuilt();
    },
  });
  return list;
}

function load(): Loaded {
  const reasons: string[] = [];
  for (const { what, load } of candidates()) {
    try {
      return { binding: load() as NativeBinding, source: what };
    } catch (error) {
      const [first] = String((error as Error).message).split("\n");
      reasons.push(`  ${what}: ${first}`);
    }
  }
  throw new NativeError(
    "NATIVE_NOT_FOUND",
    `the native core could not be loaded on ${platformName()}, Node ${process.version}:\n${reasons.join("\n")}\n` +
      "npm leaves it out with --no-optional and --omit=optional; a clone builds it with npm run build:native",
  );
}

interface Loaded {
  readonly binding: NativeBinding;
  readonly source: string;
}

let loaded: Loaded | undefined;

/**
 * The native core, loaded at the first call.
 *
 * @throws NativeError `NATIVE_NOT_FOUND` that lists each place tried and why it failed.
 */
export function loadNative(): NativeBinding {
  loaded ??= load();
  return loaded.binding;
}

/** What a local build was made of. */
export interface BuildInfo {
  readonly rustc: string;
  readonly triple: string;
  readonly profile: string;
  /** Fingerprint of the sources. */
  readonly sources: string;
}

/** Which core was loaded. */
export interface NativeInfo {
  /** Where it was found. */
  readonly source: string;
  readonly version: string;
  readonly tableHash: number;
  readonly simd: string;
  /** Of a local build. */
  readonly build: BuildInfo | undefined;
}

/**
 * Facts about the core that is loaded, which this loads if need be.
 *
 * @throws NativeError as {@link loadNative} does.
 */
export function nativeInfo(): NativeInfo {
  loaded ??= load();
  const { binding, source } = loaded;
  const { version, tableHash, simd } = binding;
  const file = join(PACKAGE, "build-info.json");
  const local = source.startsWith(LOCAL) && existsSync(file);
  const build = local ? (JSON.parse(readFileSync(file, "utf8")) as BuildInfo) : undefined;
  return { source, version, tableHash, simd, build };
}
