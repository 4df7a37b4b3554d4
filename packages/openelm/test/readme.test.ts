import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test, vi } from "vitest";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
// Inside the package, so that its imports are found; what is below dist is no source.
const FOLDER = join(ROOT, "packages/openelm/dist/readme");

afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

test("README's first program finds the weights that made its data", async () => {
  const [, code] = /```ts\n(.*?)```/s.exec(readFileSync(join(ROOT, "README.md"), "utf8"))!;
  mkdirSync(FOLDER, { recursive: true });
  const file = join(FOLDER, "first.ts");
  writeFileSync(file, code!);
  const printed: unknown[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((value) => void printed.push(value));

  await import(file);

  log.mockRestore();
  expect(printed).toHaveLength(4);
  const losses = printed as number[];
  expect(losses[0]!).toBeGreaterThan(1);
  expect(losses.at(-1)!).toBeLessThan(0.05);
});
