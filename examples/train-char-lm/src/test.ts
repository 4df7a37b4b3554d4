import assert from "node:assert/strict";
import { test } from "node:test";
import { POEM } from "./poem.js";
import { recite, trainCharLM } from "./train.js";

test("the model learns the poem by heart", async () => {
  const trained = await trainCharLM(POEM);
  const { losses } = trained;
  // Before training every character is about equally likely.
  assert.ok(Math.abs(losses[0]! - Math.log(trained.tokenizer.vocabSize)) < 1, `first loss ${losses[0]}`);
  assert.ok(losses.at(-1)! < 0.25, `last loss ${losses.at(-1)}`);
  const start = POEM.indexOf("What the anvil");
  assert.equal(await recite(trained, POEM.slice(start, start + 14), 50), POEM.slice(start, start + 64));
});

test("the same seed gives the same losses", async () => {
  const [first, second] = [await trainCharLM(POEM, { steps: 5 }), await trainCharLM(POEM, { steps: 5 })];
  assert.deepEqual(first.losses, second.losses);
});
