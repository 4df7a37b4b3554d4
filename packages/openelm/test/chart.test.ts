import { expect, test } from "vitest";
import { lineChart, smoothed } from "../src/report/chart.js";

const chart = (points: [number, number][], log = false): string =>
  lineChart({ title: "a < b", xLabel: "step", log, series: [{ name: "y", points }] });

test("a plot escapes its texts and draws each point once", () => {
  const svg = chart([
    [0, 1],
    [1, 3],
    [2, 2],
  ]);
  expect(svg).toContain("a &lt; b");
  const path = /<path d="(M[^"]+)"/.exec(svg)![1]!;
  expect(path.split("L")).toHaveLength(3);
});

test("what is not finite, or not positive on a logarithmic axis, is left out", () => {
  const svg = chart(
    [
      [0, Number.NaN],
      [1, 0],
      [2, 5],
      [3, 50],
    ],
    true,
  );
  expect(svg).not.toContain("NaN");
  expect(/<path d="(M[^"]+)"/.exec(svg)![1]!.split("L")).toHaveLength(2);
});

test("no data is said", () => {
  expect(chart([])).toContain("no data");
});

test("smoothing starts at the first value and keeps a constant", () => {
  const points = smoothed([
    [1, 4],
    [2, Number.NaN],
    [3, 4],
    [4, 4],
  ]);
  expect(points).toEqual([
    [1, 4],
    [3, 4],
    [4, 4],
  ]);
});
