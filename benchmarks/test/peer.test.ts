import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { type Launch, Peer } from "../lib/peer.js";

// Peers of our own making, so that nothing need be installed but Python and Node.
const folder = mkdtempSync(path.join(tmpdir(), "peer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const peers = path.resolve("benchmarks/peers");

function script(name: string, text: string): Launch {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  const python = name.endsWith(".py");
  return { program: python ? "python3" : process.execPath, args: python ? ["-u", file] : [file] };
}

const inPython = (name: string, text: string): Launch =>
  script(
    name,
    `import sys\nsys.path.insert(0, ${JSON.stringify(peers)})\nfrom protocol import missing, serve\n${text}`,
  );

const inNode = (name: string, text: string): Launch =>
  script(
    name,
    `import { load, serve, THREADS } from ${JSON.stringify(pathToFileURL(`${peers}/protocol.mjs`).href)};\n${text}`,
  );

/** Pipes and programs that keep this process alive. */
const handles = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === "PipeWrap" || name === "ProcessWrap").length;

const WAITING = {
  Python: () =>
    inPython("works.py", 'import time\nserve("works 1", {"wait": lambda s: lambda: time.sleep(s)})\n'),
  JavaScript: () =>
    inNode(
      "works.mjs",
      'import { setTimeout } from "node:timers/promises";\n' +
        'await serve("works 1", { wait: ({ s }) => () => setTimeout(s * 1e3 + 1) });\n',
    ),
};

test.each(Object.entries(WAITING))("a peer in %s times its calls, and tells its version", async (_, make) => {
  const peer = await Peer.start(make(), 1);
  try {
    expect(peer.version).toBe("works 1");
    expect(peer.pid).toBeGreaterThan(0);
    const run = await peer.contender({ case: "wait", s: 0.01 });
    expect(await run!(3)).toBeGreaterThanOrEqual(0.03);
    await expect(peer.contender({ case: "other" })).rejects.toThrow("other");
  } finally {
    await peer.close();
  }
});

test("nothing of a peer that was closed keeps the process alive", async () => {
  const before = handles();
  const peer = await Peer.start(WAITING.Python(), 1);
  expect(handles()).toBeGreaterThan(before);
  await peer.close();
  expect(handles()).toBe(before);
  expect(() => process.kill(peer.pid!, 0)).toThrow("ESRCH");
});

test("a peer that does not see the end of its input is ended", async () => {
  const deaf = script(
    "deaf.mjs",
    'console.log(JSON.stringify({ ready: "deaf" })); setInterval(() => 0, 1000);\n',
  );
  const peer = await Peer.start(deaf, 1);
  await peer.close();
  expect(() => process.kill(peer.pid!, 0)).toThrow("ESRCH");
});

test("a peer whose package is not there is missing, as is one whose program is not", async () => {
  const none = { program: path.join(folder, "none"), args: [] };
  const unknown = inNode("missing.mjs", 'await load("a-package-that-nobody-installed");\n');
  for (const launch of [inPython("missing.py", 'missing("something")\n'), unknown, none]) {
    const peer = await Peer.start(launch, 1);
    expect(peer.version).toBeUndefined();
    expect(await peer.contender({ case: "wait" })).toBeUndefined();
  }
});

test("a peer that ends in the middle is an error, not a wait", async () => {
  const peer = await Peer.start(
    inPython("ends.py", 'import os\nserve("ends 1", {"end": lambda: lambda: os._exit(3)})\n'),
    1,
  );
  const run = await peer.contender({ case: "end" });
  await expect(run!(1)).rejects.toThrow("it ended");
  await peer.close();
});

test("a peer is told how many threads it may use", async () => {
  const peer = await Peer.start(inNode("threads.mjs", "await serve(`threads ${THREADS}`, {});\n"), 3);
  expect(peer.version).toBe("threads 3");
  await peer.close();
});
