import { describe, expect, test } from "vitest";
import { type Measurement, ratio, toLine, toText } from "../lib/measure.js";

const time: Measurement = { name: "add", unit: "µs", faster: "smaller", ours: 2, peers: { a: 3, b: 4 } };
const rate: Measurement = {
  name: "copy",
  unit: "GB/s",
  faster: "larger",
  ours: 30,
  peers: { a: 20 },
  limit: 40,
};

describe("ratio", () => {
  test("is speed against the best peer, for times and for rates", () => {
    expect(ratio(time)).toBe(1.5);
    expect(ratio(rate)).toBe(1.5);
    expect(ratio({ ...time, peers: {} })).toBeUndefined();
  });

  test("a peer that is missing is not beaten", () => {
    expect(ratio({ ...time, peers: { a: null } })).toBeUndefined();
    expect(ratio({ ...time, peers: { a: 3, b: null } })).toBe(1.5);
  });
});

const line = (measurement: Measurement) => toLine(measurement, "group/file", 2);

describe("lines", () => {
  test("have every field, null where there is nothing", () => {
    expect(line(rate)).toEqual({
      benchmark: "group/file",
      name: "copy",
      threads: 2,
      unit: "GB/s",
      faster: "larger",
      ours: 30,
      peers: { a: 20 },
      limit: 40,
      ratio: 1.5,
    });
    expect(line({ ...time, peers: {} })).toMatchObject({ peers: {}, limit: null, ratio: null });
  });

  test("a missing peer is named", () => {
    const missing = line({ ...time, peers: { a: null } });
    expect(missing).toMatchObject({ peers: { a: null }, ratio: null });
    expect(toText(missing)).toMatch(/^add +2t {2}2 µs {2}a missing$/);
  });

  test("a measurement that failed is no line", () => {
    expect(() => line({ ...time, ours: Number.NaN })).toThrow("add: ours is NaN");
    expect(() => line({ ...time, peers: { a: 0 } })).toThrow("add: a is 0");
  });

  test("text names the peers and the ratio", () => {
    expect(toText(line(rate))).toMatch(
      /^copy +2t {2}30 GB\/s {2}a 20 GB\/s {2}1\.50× the best peer {2}limit 40 GB\/s$/,
    );
  });
});
