import { fileURLToPath } from "node:url";

/** The folder `benchmarks/`; this module runs from its `dist/lib/`. */
export const SOURCES = fileURLToPath(new URL("../../", import.meta.url));

/** What `npm run bench:peers` installed. */
export const PEERS = `${SOURCES}.peers/`;

export const RESULTS = `${SOURCES}results/`;
