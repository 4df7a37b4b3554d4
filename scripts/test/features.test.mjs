import { expect, test } from "vitest";
import { cargo } from "../lib/build.mjs";
import { output } from "../lib/run.mjs";

/**
 * Every crate with its features, as cargo resolves them for a selection of packages.
 *
 * @param {string[]} selection
 */
function resolved(selection) {
  const format = ["--locked", "--prefix", "none", "--format", "{p} [{f}]"];
  const tree = output(...cargo(["tree", ...format, ...selection]));
  return new Set(tree?.split("\n").map((line) => line.replace(/ \(\*\)$/, "")));
}

// A crate with other features is another crate, and all that stand on it are compiled again: minutes for the kernels.
test("the addon, the conformance report and the tests share the crates that they compile", () => {
  const tests = resolved(["--workspace", "--edges", "normal,build,dev"]);
  expect(tests.size).toBeGreaterThan(50);
  for (const packages of [["elm-napi"], ["elm-napi", "elm-conformance"]]) {
    const built = resolved([...packages.flatMap((name) => ["-p", name]), "--edges", "normal,build"]);
    expect(built.size).toBeGreaterThan(50);
    expect([...built].filter((crate) => !tests.has(crate))).toEqual([]);
  }
});
