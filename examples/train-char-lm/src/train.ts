import { valueAndGrad } from "@openelm/autograd";
import { generate, type LossBatch, OpenELM } from "@openelm/models";
import { Generator, randint, type Tensor, tensor, withDefaults } from "@openelm/tensor";
import { AdamW, cosineSchedule } from "@openelm/train";
import { Characters } from "./characters.js";

const [BATCH, TIME] = [8, 64];

export interface CharLM {
  readonly model: OpenELM;
  readonly tokenizer: Characters;
  /** Nats per character, of each step. */
  readonly losses: number[];
}

/** Trains a small OpenELM to know a text by heart, character by character. */
export async function trainCharLM(text: string, { steps = 200, seed = 1 } = {}): Promise<CharLM> {
  const tokenizer = new Characters(text);
  const model = withDefaults(
    { seed },
    () =>
      new OpenELM({
        vocabSize: tokenizer.vocabSize,
        bosId: 0,
        eosId: 1,
        layers: 3,
        modelDim: 64,
        headDim: 16,
        attention: [0.5, 1],
        feedForward: [1, 3],
        feedForwardDivisor: 32,
      }),
  );
  const optimizer = new AdamW(model, { lr: 1e-2, weightDecay: 0 });
  const schedule = cosineSchedule({ lr: 1e-2, updates: steps, warmup: Math.min(10, steps) });
  const lossAndGrad = valueAndGrad((model: OpenELM, batch: LossBatch) => model.loss(batch).loss);

  const ids = tensor(Int32Array.from([0, ...tokenizer.ids(text)]));
  const generator = new Generator(seed).fork("windows");
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { inputs, targets } = windows(ids, generator);
    const { value, grads } = lossAndGrad(model, { inputs, targets });
    optimizer.step(model, grads, { lr: schedule(step) });
    losses.push(await value.item());
    for (const t of [inputs, targets, value, grads]) t.dispose();
  }
  return { model, tokenizer, losses };
}

/** Pieces of the text from random places, and the same moved by one character. */
function windows(ids: Tensor, generator: Generator): { inputs: Tensor; targets: Tensor } {
  const starts = randint([BATCH, 1], 0, ids.size - TIME, { generator });
  const offsets = tensor(Int32Array.from({ length: TIME }, (_, i) => i));
  const places = starts.add(offsets);
  return { inputs: ids.take(places, { axis: 0 }), targets: ids.take(places.add(1), { axis: 0 }) };
}

/** What the model goes on to write, always the likeliest character. */
export async function recite(
  { model, tokenizer }: CharLM,
  beginning: string,
  characters: number,
): Promise<string> {
  const { text } = await generate(model, beginning, {
    tokenizer,
    temperature: 0,
    maxTokens: characters,
    addBos: false,
  }).result();
  return beginning + text;
}
