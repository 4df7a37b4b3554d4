import { copyFileSync, mkdirSync, renameSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { DataBinding } from "./binding-data.js";
import type { TextBinding } from "./binding-text.js";

const built = fileURLToPath(new URL("../../../native/target/release/libelm_napi.so", import.meta.url));
const folder = fileURLToPath(new URL("../../../native/target/node/", import.meta.url));
const addon = `${folder}${statSync(built).mtimeMs}.node`;
mkdirSync(folder, { recursive: true });
copyFileSync(built, `${addon}.${process.pid}`);
renameSync(`${addon}.${process.pid}`, addon);

/** The addon's exports. */
export const native = createRequire(import.meta.url)(addon) as TextBinding & DataBinding;
