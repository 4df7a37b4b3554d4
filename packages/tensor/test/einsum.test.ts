import { describe, expect, test } from "vitest";
import { einsum, ones, scope, type Tensor, tensor, zeros } from "../src/index.js";
import { build, count, dice, get, indices, type Nd, nested } from "./reference.js";

/** Sums over all values of all labels, straight from the definition. */
function reference(equation: string, operands: readonly Nd[]): Nd {
  const [left, out] = equation.split("->") as [string, string];
  const terms = left.split(",");
  const sizes = new Map<string, number>();
  for (const [i, term] of terms.entries())
    for (const [axis, label] of [...term].entries()) sizes.set(label, operands[i]!.shape[axis]!);
  const summed = [...sizes.keys()].filter((label) => !out.includes(label));
  return build(
    [...out].map((label) => sizes.get(label)!),
    (index) => {
      const values = new Map([...out].map((label, i) => [label, index[i]!]));
      let total = 0;
      for (const inner of indices(summed.map((label) => sizes.get(label)!))) {
        for (const [i, label] of summed.entries()) values.set(label, inner[i]!);
        total += terms.reduce(
          (product, term, i) =>
            product *
            get(
              operands[i]!,
              [...term].map((label) => values.get(label)!),
            ),
          1,
        );
      }
      return total;
    },
  );
}

const SIZES: Record<string, number> = { a: 2, b: 3, c: 4, d: 1, e: 2, f: 3 };
const roll = dice(3);
const draw = (term: string): Nd => {
  const shape = [...term].map((label) => SIZES[label]!);
  return { shape, values: Array.from({ length: count(shape) }, () => [-3, -2, -1, 1, 2, 3][roll(6)]!) };
};
const of = ({ shape, values }: Nd): Tensor => tensor([...values], { shape });

describe("einsum", () => {
  test.each([
    "ab,bc->ac",
    "abc,acb->a",
    "ab,ab->",
    "ab->ba",
    "aa->a",
    "aa->",
    "aab,bb->ab",
    "a,b->ab",
    "a,b,c->cab",
    "abc,cd,db->a",
    "ab,ab,ab->b",
    "abcd,ebf->acdef",
    "ab,c->ab",
    "abab->ba",
    "ab,bc,ca->abc",
    ",ab->ab",
  ])("%s is the sum of products", (equation) => {
    const operands = equation.split("->")[0]!.split(",").map(draw);
    const got = scope(() => einsum(equation, ...operands.map(of)).arraySync());
    expect(got).toEqual(nested(reference(equation, operands)));
    const whole = scope(() => einsum(equation, ...operands.map((x) => of(x).to("i32"))).arraySync());
    expect(whole).toEqual(nested(reference(equation, operands)));
  });

  test("an output that is not written has the labels that occur once", () => {
    const [a, b] = [of(draw("ab")), of(draw("bc"))];
    expect(einsum("ab,bc", a, b).arraySync()).toEqual(a.matmul(b).arraySync());
    expect(einsum("ba", a).arraySync()).toEqual(a.transpose().arraySync());
  });

  test("an ellipsis broadcasts", () => {
    expect(einsum("...ij,...jk->...ik", ones([5, 1, 2, 3]), ones([4, 3, 2])).shape).toEqual([5, 4, 2, 2]);
    expect(einsum("...i->...", ones([2, 3, 4])).arraySync()).toEqual([
      [4, 4, 4],
      [4, 4, 4],
    ]);
    expect(einsum("...,...", ones([3, 1]), ones([2])).shape).toEqual([3, 2]);
    expect(einsum("i...->i", ones([2, 3])).arraySync()).toEqual([3, 3]);
  });

  test.each([
    [
      "ij,jk->ik",
      [
        [2, 3],
        [4, 5],
      ],
      "label j has size 3 and, in operand 1, 4",
    ],
    ["ij->ik", [[2, 3]], "output label k is in no operand"],
    ["ij->ii", [[2, 3]], "twice"],
    ["ij,jk", [[2, 3]], "names 2 operands, got 1"],
    ["i", [[2, 3]], 'has 2 axes, its labels "i" are 1'],
    ["i1", [[2, 3]], "letters"],
    ["...i...", [[2, 3]], "more than one ellipsis"],
    ["i->j->k", [[2]], "one ->"],
    ["...,...", [[2], [3]], 'an axis under "..." has size 2'],
  ])("%s of %j is refused", (equation, shapes, message) => {
    expect(() => einsum(equation, ...shapes.map((shape) => zeros(shape)))).toThrow(message);
  });
});
