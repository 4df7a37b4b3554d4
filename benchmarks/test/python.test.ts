import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { PythonPeer } from "../lib/python.js";

// Peers of our own making, so that nothing need be installed but Python; where it is missing, so is the peer.
const folder = mkdtempSync(path.join(tmpdir(), "peer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const script = (name: string, text: string): string => {
  const file = path.join(folder, name);
  writeFileSync(
    file,
    `import sys\nsys.path.insert(0, ${JSON.stringify(path.resolve("benchmarks/peers"))})\n` +
      `from protocol import missing, serve\n${text}`,
  );
  return file;
};

test("a peer times its own calls and tells its version", async () => {
  const peer = await PythonPeer.start(
    script("works.py", 'import time\nserve("works 1", {"wait": lambda s: lambda: time.sleep(s)})\n'),
  );
  expect(peer.version).toBe("works 1");
  const run = await peer.contender({ case: "wait", s: 0.01 });
  expect(await run!(3)).toBeGreaterThanOrEqual(0.03);
  await expect(peer.contender({ case: "other" })).rejects.toThrow("KeyError");
});

test("a peer whose package is not there is missing", async () => {
  const peer = await PythonPeer.start(script("missing.py", 'missing("something")\n'));
  expect(peer.version).toBeUndefined();
  expect(await peer.contender({ case: "wait" })).toBeUndefined();
});
