import { valueAndGrad } from "@openelm/autograd";
import {
  cacheWrite,
  DisposedError,
  device,
  liveTensors,
  OpError,
  ones,
  stack,
  type Tensor,
  tensor,
  UsageError,
  withDefaults,
  zeros,
} from "@openelm/tensor";
import "@openelm/testing/vitest";
import { collectGarbage } from "@openelm/testing";
import { describe, expect, test } from "vitest";
import { Attention, KVCache } from "../src/index.js";

const options = { layers: [{ kvHeads: 2, headDim: 4 }], capacity: 6 };

describe("KVCache", () => {
  test("of a layer gives in pieces what one pass gives", () => {
    const attn = new Attention({ dim: 8, queryHeads: 4, kvHeads: 2, headDim: 4, qkNorm: true });
    const x = ones([2, 6, 8]).mul(tensor([1, 2, 3, 4, 5, 6]).reshape([1, 6, 1]));
    const whole = attn.forward(x);
    using cache = new KVCache({ ...options, batch: 2 });
    let at = 0;
    for (const time of [3, 1, 2]) {
      const [layer] = cache.layersFor(time);
      const part = attn.forward(x.at(":", `${at}:${at + time}`) as Tensor, { cache: layer });
      cache.advance(time);
      expect(part).toBeAllClose(whole.at(":", `${at}:${at + time}`) as Tensor, { atol: 1e-5 });
      at += time;
    }
    expect(cache.length).toBe(6);
  });

  test("gives what a layer of another kind needs", () => {
    using cache = new KVCache(options);
    cache.advance(1);
    const { keys, values, offset, length } = cache.layersFor(2)[0]!;
    const k = ones([1, 2, 2, 4]);
    cacheWrite(keys, k, offset);
    cacheWrite(values, k.mul(2), offset);
    expect(length).toBeAllClose(tensor([3], { dtype: "i32" }));
    const { k: all, v } = cache.layer(0);
    expect(all.at(":", ":", "1:3") as Tensor).toBeAllClose(k);
    expect(v.at(":", ":", "1:3") as Tensor).toBeAllClose(k.mul(2));
    expect(all.sum()).toBeAllClose(k.sum());
  });

  test("is for inference: a gradient through it is refused", () => {
    const attn = new Attention({ dim: 8, queryHeads: 2, headDim: 4 });
    using cache = new KVCache(options);
    const [layer] = cache.layersFor(3);
    const loss = (m: Attention): Tensor => m.forward(ones([1, 3, 8]), { cache: layer }).sum();
    expect(() => valueAndGrad(loss)(attn)).toThrow(/qk_norm_rope_cache: a gradient flows through qkv/);
  });

  test("takes positions back", () => {
    using cache = new KVCache(options);
    cache.advance(5);
    cache.crop(2);
    expect(cache.length).toBe(2);
    expect(() => cache.crop(3)).toThrow(/length of 0 to 2, got 3/);
    expect(() => cache.crop(-1)).toThrow(OpError);
  });

  test("goes on with each row where that row's own positions end", () => {
    const attn = new Attention({ dim: 8, queryHeads: 4, kvHeads: 2, headDim: 4, qkNorm: true });
    const x = ones([2, 6, 8]).mul(tensor([1, 2, 3, 4, 5, 6]).reshape([1, 6, 1]));
    const whole = attn.forward(x);
    using cache = new KVCache({ ...options, batch: 2 });
    const pass = (rows: Tensor, time: number): Tensor => {
      const [layer] = cache.layersFor(time);
      const y = attn.forward(rows, { cache: layer });
      cache.advance(time);
      return y;
    };
    pass(x.at(":", ":4") as Tensor, 4);
    cache.crop([4, 1]);
    expect(cache.lengths).toEqual([4, 1]);
    expect(cache.length).toBe(4);
    // The next position of the first row is 4, that of the second 1.
    const next = stack([x.at(0, "4:5") as Tensor, x.at(1, "1:2") as Tensor]);
    const y = pass(next, 1);
    expect(y.at(0) as Tensor).toBeAllClose(whole.at(0, "4:5") as Tensor, { atol: 1e-5 });
    expect(y.at(1) as Tensor).toBeAllClose(whole.at(1, "1:2") as Tensor, { atol: 1e-5 });
    expect(cache.lengths).toEqual([5, 2]);
    expect(() => cache.crop([5, 3])).toThrow(/0 to 2 for row 1, got 3/);
    expect(() => cache.crop([1])).toThrow(/one length a row, got 1 for 2/);
  });

  test("counts what was written from outside", () => {
    using cache = new KVCache(options);
    cache.restore(5);
    expect(cache.length).toBe(5);
    expect(() => cache.restore(7)).toThrow(/0 to 6, got 7/);
  });

  test("refuses more than its capacity", () => {
    using cache = new KVCache(options);
    cache.advance(4);
    expect(() => cache.layersFor(3)).toThrow(/3 positions after 4 do not fit a capacity of 6/);
    expect(() => cache.advance(3)).toThrow(/0 to 2 positions, got 3/);
    expect(cache.length).toBe(4);
  });

  test("refuses sizes that are none", () => {
    for (const wrong of [
      { capacity: 0 },
      { batch: 1.5 },
      { layers: [] },
      { layers: [{ kvHeads: 0, headDim: 4 }] },
    ]) {
      expect(() => new KVCache({ ...options, ...wrong })).toThrow(UsageError);
    }
  });

  test("refuses rows of another batch and documents", () => {
    const attn = new Attention({ dim: 8, queryHeads: 2, headDim: 4 });
    using cache = new KVCache(options);
    const [layer] = cache.layersFor(3);
    expect(() => attn.forward(zeros([2, 3, 8]), { cache: layer })).toThrow(OpError);
    const documents = zeros([1, 3], { dtype: "i32" });
    expect(() => attn.forward(zeros([1, 3, 8]), { cache: layer, documents })).toThrow(UsageError);
  });

  test("follows the defaults, and frees all it had", () => {
    collectGarbage();
    const before = liveTensors();
    const cache = withDefaults({ dtype: "bf16" }, () => new KVCache(options));
    expect(cache.layer(0).k.dtype).toBe("bf16");
    expect(cache.layer(0).v.shape).toEqual([1, 2, 6, 4]);
    expect(() => cache.layer(1)).toThrow(/no layer 1/);
    cache.dispose();
    expect(liveTensors()).toBe(before);
    const attn = new Attention({ dim: 8, queryHeads: 2, headDim: 4 });
    expect(() => attn.forward(zeros([1, 3, 8]), { cache: cache.layersFor(3)[0] })).toThrow(DisposedError);
  });
});

describe("KVCache under capture", () => {
  test("goes on from replay to replay, on the host and on the device", async () => {
    const attn = new Attention({ dim: 8, queryHeads: 4, kvHeads: 2, headDim: 4, qkNorm: true });
    const x = ones([1, 6, 8]).mul(tensor([1, 2, 3, 4, 5, 6]).reshape([1, 6, 1]));
    const whole = attn.forward(x);
    using cache = new KVCache(options);
    using step = device("cpu").capture((row: Tensor) => {
      const [layer] = cache.layersFor(1);
      const y = attn.forward(row, { cache: layer });
      cache.advance(1);
      return y;
    });
    for (let at = 0; at < 6; at++) {
      const y = step(x.at(":", `${at}:${at + 1}`) as Tensor);
      expect(y).toBeAllClose(whole.at(":", `${at}:${at + 1}`) as Tensor, { atol: 1e-5 });
      expect(cache.length).toBe(at + 1);
    }
    expect(step.recordings).toBe(1);
    cache.crop(2);
    const again = step(x.at(":", "2:3") as Tensor);
    expect(again).toBeAllClose(whole.at(":", "2:3") as Tensor, { atol: 1e-5 });
    expect(cache.length).toBe(3);
  });
});
