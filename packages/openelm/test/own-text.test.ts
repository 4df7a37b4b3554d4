import { expect, test } from "vitest";
import { cut } from "../src/run/own-text.js";

const words = (n: number, word: string): string => Array.from({ length: n }, () => word).join(" ");

test("pieces are whole paragraphs, and lose none", () => {
  const text = ["a", "b", "c", "d", "e"].map((word) => words(500, word)).join("\n\n");
  const pieces = cut(text);
  expect(pieces.length).toBeGreaterThan(1);
  expect(pieces.join("\n\n")).toBe(text);
});

test("a paragraph that is too long is cut at its lines, and loses none", () => {
  const text = Array.from({ length: 200 }, (_, i) => `line ${i} ${words(10, "word")}`).join("\n");
  const pieces = cut(text);
  expect(pieces.length).toBeGreaterThan(3);
  expect(pieces.join("\n")).toBe(text);
  for (const piece of pieces) expect(piece.length).toBeLessThan(2200);
});

test("empty text has no pieces", () => {
  expect(cut(" \n\n \n")).toEqual([]);
});
