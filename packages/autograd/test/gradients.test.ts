import { writeFileSync } from "node:fs";
import { OPS, type OpName, ones, scope, type Tensor } from "@openelm/tensor";
import { CheckError, checkFunction } from "@openelm/testing";
import "@openelm/testing/vitest";
import { afterAll, describe, expect, test } from "vitest";
import { type NotDifferentiable, RULES, type Rule, vjp } from "../src/index.js";
import { prepare, type Sample } from "./sample.js";
import { SAMPLES } from "./samples.js";

// npm run conformance may name ops, and wants the counts in a file.
const { OPENELM_GRADIENTS_OPS: only = "", OPENELM_GRADIENTS_REPORT: report } = process.env;
const isAll = only === "";

type AnyRule = Rule<OpName> | NotDifferentiable;
const isRule = (rule: AnyRule): rule is Rule<OpName> => "vjp" in rule;
const TABLE = RULES as unknown as Record<OpName, AnyRule>;

const differentiable = [...OPS.values()]
  .filter((op) => op.differentiable !== false)
  .map(({ name }) => name as OpName);
const chosen = differentiable.filter((name) => isAll || only.split(",").includes(name));
const counts = { ops: 0, checked: 0, failed: 0 };

describe.each(chosen)("%s", (name) => {
  const samples = SAMPLES.get(name) ?? [];

  test("has samples", () => {
    expect(samples, `no gradient sample for ${name}: add test/samples/${name}.ts`).not.toHaveLength(0);
    counts.ops += 1;
  });

  test.each(samples.map((sample, i) => [i, sample] as const))("sample %i", (i, sample) => {
    try {
      counts.checked += checkSample(name, sample, i);
    } catch (error) {
      counts.checked += 1;
      counts.failed += 1;
      throw error;
    }
  });

  test.each(["f32", "bf16"] as const)("in %s", (dtype) => {
    for (const [i, sample] of samples.entries()) checkPrecision(name, sample, i, dtype);
  });
});

/**
 * The same gradient from inputs of less precision, against that of their values in f64: the rule must fit the dtypes
 * that its kernels take, and give gradients of the dtypes of the inputs.
 */
function checkPrecision(name: OpName, sample: Sample<OpName>, i: number, dtype: "f32" | "bf16"): void {
  scope(() => {
    const { inputs, call } = prepare(name, sample, 17 * i + 1);
    const low = inputs.map((x) => x.to(dtype));
    const gradients = (args: readonly Tensor[]): readonly (Tensor | null)[] => {
      const { value, pull } = vjp((...xs: readonly Tensor[]) => call(...xs), args);
      return pull(value.map((y) => ones(y.shape, { dtype: y.dtype }))) as readonly (Tensor | null)[];
    };
    const exact = gradients(low.map((x) => x.to("f64")));
    gradients(low).forEach((grad, k) => {
      expect(grad?.dtype).toBe(exact[k] === null ? undefined : dtype);
      if (grad === null) return;
      // Where a rule takes a difference of rounded values, what is left is as exact as they are, not as it is small.
      const largest = Math.max(0.1, ...Array.from(exact[k]!.abs().dataSync(), Number));
      expect(grad.to("f64")).toBeAllClose(exact[k]!, {
        rtol: 0,
        atol: largest * (dtype === "f32" ? 2e-5 : 0.05),
      });
    });
  });
}

/** Finite differences, the reference where there is one, the gradient of the gradient, strides, repetition. */
function checkSample(name: OpName, sample: Sample<OpName>, i: number): number {
  return scope(() => {
    const rule = TABLE[name] as Rule<OpName>;
    const { inputs, call, viaReference } = prepare(name, sample, 17 * i + 1);
    const reference = rule.reference && viaReference(rule.reference as never);
    const { checked } = checkFunction({ name, call, reference }, inputs, {
      secondOrder: true,
      strides: sample.strided ?? true,
    });
    return checked;
  });
}

describe.runIf(isAll)("the table", () => {
  test("says of every op whether it has a gradient, as the op does", () => {
    const wrong = [...OPS.values()].filter(
      ({ name, differentiable }) => isRule(TABLE[name as OpName]) !== (differentiable !== false),
    );
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });

  test("gives a reason for every op without one", () => {
    for (const rule of Object.values(TABLE))
      if (!isRule(rule)) expect(rule.reason.length).toBeGreaterThan(10);
  });

  test("has a reference for every op whose rule calls a kernel without a gradient", () => {
    const backward = [...OPS.keys()].flatMap((name) => name.match(/^(.*)_backward$/)?.[1] ?? []);
    for (const name of backward) expect(TABLE[name as OpName], name).toHaveProperty("reference");
  });
});

describe.runIf(isAll)("a wrong rule is caught", () => {
  const off = (name: OpName, sample: Sample<OpName>): (() => void) => {
    return () => {
      const right = TABLE[name] as Rule<OpName>;
      const vjp = (context: Parameters<typeof right.vjp>[0]): object => {
        const grads = Object.entries(right.vjp(context) as Readonly<Record<string, Tensor | null>>);
        return Object.fromEntries(
          grads.map(([input, grad], at) => [input, at === 0 && grad ? grad.mul(1.001) : grad]),
        );
      };
      TABLE[name] = { ...right, vjp };
      try {
        checkSample(name, sample, 0);
      } finally {
        TABLE[name] = right;
      }
    };
  };

  test.each(["tanh", "mul", "matmul", "rms_norm", "attention", "cross_entropy"] as const)(
    "%s off by 0.1 %%",
    (name) => {
      expect(off(name, SAMPLES.get(name)![1]!)).toThrow(CheckError);
    },
  );
});

afterAll(() => {
  if (report !== undefined) writeFileSync(report, JSON.stringify(counts));
  console.log(`gradients: ${counts.checked} cases of ${counts.ops} ops checked, ${counts.failed} failed`);
});
