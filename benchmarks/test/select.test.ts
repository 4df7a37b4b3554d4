import { expect, test } from "vitest";
import { select } from "../lib/select.js";

const all = ["bindings/dispatch", "matmul", "ops/add", "ops/add_wide"];

test("benchmarks are chosen by name or by folder", () => {
  expect(select(all, ["ops"]).chosen).toEqual(["ops/add", "ops/add_wide"]);
  expect(select(all, ["ops/add"]).chosen).toEqual(["ops/add"]);
  expect(select(all, ["op"])).toEqual({ chosen: [], unknown: ["op"] });
  expect(select(all, ["matmul", "bindings/dispatch"]).chosen).toEqual(["bindings/dispatch", "matmul"]);
});
