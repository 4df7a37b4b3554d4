// What the core is made of: the same list as the inputs of `@openelm/native#build` in turbo.json.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const FILES = ["native/Cargo.toml", "native/Cargo.lock", "native/rust-toolchain.toml", ".cargo/config.toml"];

/**
 * Fingerprint of the sources by path and content, the same on every machine and without git.
 *
 * @param {string} root - Top of the repository.
 */
export function hashSources(root) {
  const hash = createHash("sha256");
  for (const file of listSources(root)) {
    const content = readFileSync(path.join(root, file), "utf8").replaceAll("\r\n", "\n");
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex").slice(0, 16);
}

/** @param {string} root */
export function listSources(root) {
  const crates = readdirSync(path.join(root, "native/crates"), { recursive: true, encoding: "utf8" })
    .map((file) => `native/crates/${file.replaceAll("\\", "/")}`)
    .filter((file) => /\.(rs|cu|cuh)$|\/Cargo\.toml$/.test(file) && !file.includes("/target/"));
  return [...FILES.filter((file) => existsSync(path.join(root, file))), ...crates].sort();
}
