import { loadSafetensors, tensor } from "@openelm/tensor";
import { describe, expect, test } from "vitest";
import { decodeBlocks, encodeBlocks, fromHalf, toHalf } from "../../src/convert/blocks.js";
import { golden } from "./support.js";

describe("halves", () => {
  test("become numbers and halves again", () => {
    for (let bits = 0; bits < 1 << 16; bits++) {
      const value = fromHalf(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(fromHalf(toHalf(value)))).toBe(true);
      else if (toHalf(value) !== bits)
        expect.fail(`${bits.toString(16)} became ${toHalf(value).toString(16)}`);
    }
  });

  test("of numbers between two are those that the core rounds to", async () => {
    const between = Array.from({ length: 0x7c00 }, (_, bits) =>
      [0.25, 0.5, 0.75].map((t) => {
        const [low, high] = [fromHalf(bits), bits === 0x7bff ? 65536 : fromHalf(bits + 1)];
        return Math.fround(low + t * (high - low));
      }),
    ).flat();
    const values = Float32Array.from([
      ...between,
      ...between.map((value) => -value),
      65519,
      65520,
      1e30,
      1e-30,
      -0,
    ]);
    using halves = tensor(values, { dtype: "f16" });
    const wanted = new Uint16Array((await halves.bytes()).slice().buffer);
    for (const [i, value] of values.entries()) {
      if (toHalf(value) !== wanted[i])
        expect.fail(`${value}: ${toHalf(value).toString(16)}, ${wanted[i]!.toString(16)}`);
    }
  });
});

describe.each(["Q8_0", "Q4_0"] as const)("blocks of %s", (format) => {
  test("are byte for byte those of ggml's package, and stand for the same numbers", async () => {
    const goldens = await loadSafetensors(golden("quant.safetensors"));
    const weights = (await goldens.get("gguf.w")!.data()) as Float32Array;
    const blocks = (await goldens.get(`gguf.${format}.blocks`)!.data()) as Uint8Array;
    expect(Buffer.from(encodeBlocks(format, weights)).equals(Buffer.from(blocks))).toBe(true);
    expect(decodeBlocks(format, blocks)).toEqual(await goldens.get(`gguf.${format}.dequantized`)!.data());
    goldens.dispose();
  });
});

test("a block of Q4_K has eight groups with a scale and a minimum of 6 bits each", () => {
  const scales = [1, 2, 3, 4, 33, 47, 50, 63];
  const minima = [5, 0, 63, 7, 8, 40, 33, 62];
  const codes = Array.from({ length: 256 }, (_, i) => (i * 7) % 16);
  const block = new Uint8Array(144);
  block.set([0x00, 0x38, 0x00, 0x34]); // 0.5 and 0.25
  for (let group = 0; group < 4; group++) {
    block[4 + group] = scales[group]! | ((scales[group + 4]! >> 4) << 6);
    block[8 + group] = minima[group]! | ((minima[group + 4]! >> 4) << 6);
    block[12 + group] = (scales[group + 4]! & 15) | ((minima[group + 4]! & 15) << 4);
  }
  for (let i = 0; i < 256; i++) {
    const [pair, place] = [Math.floor(i / 64), i % 32];
    block[16 + 32 * pair + place]! |= codes[i]! << (i % 64 < 32 ? 0 : 4);
  }
  const wanted = codes.map((code, i) => 0.5 * scales[i >> 5]! * code - 0.25 * minima[i >> 5]!);
  expect([...decodeBlocks("Q4_K", block)]).toEqual(wanted);
});
