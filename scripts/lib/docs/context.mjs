// What examples take for granted: a name that one uses and does not declare has this value. An entry may use others.

/** @type {Record<string, string>} */
export const CONTEXT = {
  x: "const x = tensor([[1, 2], [3, 4]]);",
  y: "const y = tensor([[5, 6], [7, 8]]);",
  a: "const a = tensor([[1, 2], [3, 4]]);",
  b: "const b = tensor([[5, 6], [7, 8]]);",
  u: "const u = tensor([1, 2]);",
  v: "const v = tensor([3, 4, 5]);",
  weight: "const weight = ones([2, 2]);",
  bias: "const bias = zeros([2]);",
  layer: "const layer = new Linear(2, 2);",
  teacher: "const teacher = new Linear(2, 2);",
  // 256 bytes and three special tokens, as the tokenizer below.
  model:
    "const model = new OpenELM({ vocabSize: 259, layers: 1, modelDim: 32, headDim: 16, maxContextLength: 32 });",
  batch:
    'const batch = { inputs: zeros([1, 4], { dtype: "i32" }), targets: zeros([1, 4], { dtype: "i32" }) };',
  lossAndGrad: "const lossAndGrad = valueAndGrad((m: OpenELM, b: typeof batch) => m.loss(b).loss);",
  grads: "const grads = lossAndGrad(model, batch).grads;",
  optimizer: "const optimizer = new AdamW(model, { lr: 1e-3 });",
  schedule: "const schedule = constantSchedule({ lr: 1e-3 });",
  signal: "const signal = new AbortController().signal;",
  tokenizer: "const tokenizer = await Tokenizer.train(TEXTS(), { vocabSize: 300 });",
  TEXTS: 'const TEXTS = async function* () { yield "ocean (noun): a body of water"; };',
  prompt: 'const prompt = "ocean (noun):";',
  ids: 'const ids = await tokenizer.encode("Hello");',
  loader:
    'const loader = new PackedLoader(await openShards("corpus"), { sequenceLength: 2048, batchSize: 8 });',
  heldOut:
    'const heldOut = new PackedLoader(await openShards("corpus"), { sequenceLength: 2048, batchSize: 8 });',
  store: 'const store = new CheckpointStore("runs/a", modelFiles(model));',
};
