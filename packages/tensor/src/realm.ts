//! One copy of this package in a realm: two would each have tensors that the other takes for strangers.
import { createRequire } from "node:module";
import { DuplicatePackageError } from "@openelm/native";

interface Mark {
  readonly version: string;
  readonly url: string;
}

const KEY = Symbol.for("openelm.tensor");

/** @throws DuplicatePackageError if another copy was loaded first. @internal */
export function markRealm(): void {
  const { version } = createRequire(import.meta.url)("../package.json") as { version: string };
  const mine: Mark = { version, url: import.meta.url };
  const realm = globalThis as { [KEY]?: Mark };
  const other = realm[KEY];
  // The same file loaded again, as test runners do, is no second copy.
  if (other !== undefined && other.url !== mine.url) {
    throw new DuplicatePackageError(
      `@openelm/tensor is loaded twice: ${other.version} from ${other.url} and ${mine.version} from ${mine.url}; ` +
        "run: npm dedupe",
    );
  }
  realm[KEY] = mine;
}
