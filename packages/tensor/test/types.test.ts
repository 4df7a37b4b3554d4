import { describe, expect, expectTypeOf, test } from "vitest";
import {
  add,
  arange,
  concat,
  div,
  exp,
  full,
  matmul,
  type Shape,
  sum,
  type Tensor,
  tensor,
  zeros,
  zerosLike,
} from "../src/index.js";

type Of<D extends "f64" | "f32" | "bf16" | "i64" | "i32" | "bool"> = Tensor<Shape, D>;

describe("types", () => {
  test("creation and casts tell the dtype", () => {
    expectTypeOf(tensor([1, 2])).toEqualTypeOf<Of<"f32">>();
    expectTypeOf(tensor([true])).toEqualTypeOf<Of<"bool">>();
    expectTypeOf(tensor(new Int32Array(2))).toEqualTypeOf<Of<"i32">>();
    expectTypeOf(tensor([1], { dtype: "bf16" })).toEqualTypeOf<Of<"bf16">>();
    expectTypeOf(zeros([2, 3])).toEqualTypeOf<Of<"f32">>();
    expectTypeOf(full([2], 1n)).toEqualTypeOf<Of<"i64">>();
    expectTypeOf(arange(3, { dtype: "i32" })).toEqualTypeOf<Of<"i32">>();
    expectTypeOf(zerosLike(tensor([true]))).toEqualTypeOf<Of<"bool">>();
    expectTypeOf(tensor([1]).to("f64")).toEqualTypeOf<Of<"f64">>();
  });

  test("ops carry the dtype on, as the core does", () => {
    const [f, i, b] = [tensor([1]), tensor([1], { dtype: "i32" }), tensor([true])];
    const h = tensor([1], { dtype: "bf16" });
    const cases = [
      [add(f, 1), "f32"],
      [add(i, 1), "i32"],
      [i.add(f), "f32"],
      [add(h, f), "f32"],
      [h.mul(2), "bf16"],
      [div(i, 2), "f32"],
      [exp(b), "f32"],
      [sum(i), "i64"],
      [sum(h), "bf16"],
      [f.gt(0), "bool"],
      [f.argmax(), "i32"],
      [f.sort().indices, "i32"],
      [concat([h, h]), "bf16"],
      [f.at(0), "f32"],
      [i.variance(), "f32"],
    ] as const;
    for (const [x, dtype] of cases) expect(x.dtype).toBe(dtype);
    expectTypeOf(add(i, 1)).toEqualTypeOf<Of<"i32">>();
    expectTypeOf(i.add(f)).toEqualTypeOf<Of<"f32">>();
    expectTypeOf(add(h, f)).toEqualTypeOf<Of<"f32">>();
    expectTypeOf(div(i, 2)).toEqualTypeOf<Of<"f32">>();
    expectTypeOf(sum(i)).toEqualTypeOf<Of<"i64">>();
    expectTypeOf(f.gt(0)).toEqualTypeOf<Of<"bool">>();
    expectTypeOf(f.sort().indices).toEqualTypeOf<Of<"i32">>();
    expectTypeOf(concat([h, h])).toEqualTypeOf<Of<"bf16">>();
    expectTypeOf(matmul(f.reshape([1, 1]), f.reshape([1, 1]))).toEqualTypeOf<Of<"f32">>();
    expectTypeOf(f.at("1:")).toEqualTypeOf<Of<"f32">>();
    expectTypeOf(f.at(f.gt(0))).toEqualTypeOf<Promise<Of<"f32">>>();
    expectTypeOf(i.dataSync()).toEqualTypeOf<Int32Array>();
  });

  test("shapes are never inferred from literals, so that a variable may change its shape", () => {
    let x = zeros([2, 3]);
    x = x.reshape([3, 2]);
    x = x
      .matmul(zeros([2, 4]))
      .add(1)
      .mul(x.sum())
      .softmax();
    x = x.transpose().at(0, null);
    expect(x.shape).toEqual([1, 3]);
    expectTypeOf(x.as([1, 3])).toEqualTypeOf<Tensor<readonly [1, 3], "f32">>();
    const anything: Tensor = x;
    expect(anything.dtype).toBe("f32");
  });

  test("a tensor of a narrow type is one of a wide type, and not the other way round", () => {
    expectTypeOf<Of<"f32">>().toExtend<Tensor>();
    expectTypeOf<Tensor>().not.toExtend<Of<"f32">>();
  });
});
