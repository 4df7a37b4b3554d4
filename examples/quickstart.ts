//! The quickstart by hand: text, tokenizer, shards, a small OpenELM, a thousand steps, an answer.
import { data, models, tensor, train } from "openelm";

const [inputs = "corpus.txt", folder = "runs/by-hand", length = "1000"] = process.argv.slice(2);
const [steps, lr, output] = [Number(length), 4e-3, `${folder}/shards`];
const tokenizer = await data.Tokenizer.train(inputs, { vocabSize: 2048 });
await data.prepare({ inputs, output, tokenizer, validationFraction: 0.02, overwrite: true });
const rows = { sequenceLength: 128, batchSize: 16 };
const loader = new data.PackedLoader(await data.openShards(output), rows);
const heldOut = await data.openShards(output, { split: "validation" });
await loader.ready();

// Layer-wise scaling: attention and feed-forward widths of the first and the last layer, as multiples of modelDim.
const scaling = { attention: [0.5, 1], feedForward: [1, 3], feedForwardDivisor: 32 };
const tokens = { vocabSize: tokenizer.vocabSize, bosId: tokenizer.bosId!, eosId: tokenizer.eosId! };
const sizes = { ...tokens, ...scaling, layers: 6, modelDim: 192, headDim: 32 };
const model = tensor.withDefaults({ seed: 0 }, () => new models.OpenELM(sizes));
console.log(`${model.parameterCount()} parameters`);

const optimizer = new train.AdamW(model, { lr });
const schedule = train.cosineSchedule({ lr, updates: steps, warmup: Math.ceil(steps / 25) });
const batches = () => new data.PackedLoader(heldOut, { ...rows, shuffle: false, epochs: 1 });
const evaluation = { every: 250, batches };
const trainer = new train.Trainer({ model, optimizer, schedule, loader, folder, steps, evaluation });
for await (const event of trainer.run()) {
  if (event.type === "step" && event.step % 50 === 0) console.log(event.step, event.loss.toFixed(3));
  if (event.type === "eval") console.log(`held out: ${event.loss.toFixed(3)} nats per token`);
}

await models.saveOpenELM(model, `${folder}/model`);
await tokenizer.save(`${folder}/model`);
const answer = models.generate(model, "ocean (noun):", { tokenizer, temperature: 0.5, maxTokens: 40 });
for await (const { text } of answer) process.stdout.write(text);
console.log();
