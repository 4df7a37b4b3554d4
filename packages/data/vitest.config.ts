import { defineConfig } from "vitest/config";

const conditions = ["openelm-source"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: { pool: "forks", env: { OPENELM_THREADS: "2" }, testTimeout: 30_000 },
});
