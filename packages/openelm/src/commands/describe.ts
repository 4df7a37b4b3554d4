import { existsSync } from "node:fs";
import type { OpenELM, OpenELMConfig, OpenELMSize } from "@openelm/models";
import { Command } from "commander";
import { bytes, table, whole } from "../cli/format.js";
import { examples, integer } from "../cli/options.js";
import { Output } from "../cli/output.js";

interface DescribeOptions {
  readonly vocabSize?: number;
  readonly json?: boolean;
}

/** `openelm describe`: what a model is made of, without making it. */
export function describeCommand(): Command {
  return new Command("describe")
    .summary("layers and parameters of a model, without allocating them")
    .description(
      "Shows the heads, widths and parameters of a model without allocating any.\n" +
        "Sizes: OpenELM-270M, OpenELM-450M, OpenELM-1_1B, OpenELM-3B, gpt-test, gpt-1_3B.",
    )
    .argument("<size|folder>", "a size by name, or the folder of a model or a run")
    .option("--vocab-size <n>", "another number of tokens than the size has", integer(1))
    .option("--json", 'print {"parameters", "layers"}')
    .addHelpText(
      "after",
      examples(
        "openelm describe OpenELM-270M",
        "openelm describe OpenELM-3B --vocab-size 32128 --json",
        "openelm describe runs/quickstart/model",
      ),
    )
    .action(describe);
}

async function describe(what: string, { vocabSize, json }: DescribeOptions): Promise<void> {
  const { OPENELM_SIZES, OpenELM, openelmConfig, readConfig } = await import("@openelm/models");
  const { findModelFolder } = await import("../run/model-folder.js");
  const output = new Output({ json });
  const isFolder = !(what in OPENELM_SIZES) && (existsSync(what) || /[\\/.]/.test(what));
  const size = isFolder ? await readConfig(await findModelFolder(what)) : (what as OpenELMSize);
  const config = openelmConfig(size, vocabSize === undefined ? {} : { vocabSize });
  const model = new OpenELM(config);
  const parameters = model.parameterCount();
  const layers = config.layerShapes.map(({ queryHeads, kvHeads, feedForwardDim }) => ({
    queryHeads,
    kvHeads,
    feedForwardDim,
  }));
  output.emit({ parameters, layers });
  output.say(`${what}: ${whole(parameters)} parameters`);
  output.say(
    `${config.layers} layers of width ${config.modelDim}, heads of ${config.headDim}, ${whole(config.vocabSize)} tokens`,
  );
  output.say();
  const rows = config.layerShapes.map((shape, i) => [
    String(i),
    String(shape.queryHeads),
    String(shape.kvHeads),
    String(shape.feedForwardDim),
    whole(model.layers[i]!.parameterCount()),
  ]);
  output.say(table([["layer", "query heads", "kv heads", "feed-forward", "parameters"], ...rows]));
  output.say();
  output.say(totals(model, config));
}

function totals(model: OpenELM, config: OpenELMConfig): string {
  const embedding = model.tokenEmbeddings.parameterCount();
  const cached = config.layerShapes.reduce((sum, { kvHeads }) => sum + 2 * kvHeads * config.headDim, 0);
  const parameters = model.parameterCount();
  return table([
    ["embedding", whole(embedding)],
    ["all but embedding", whole(parameters - embedding)],
    ["key-value cache a token, bf16", bytes(2 * cached)],
    ["weights in bf16", bytes(2 * parameters)],
    ["weights in f32", bytes(4 * parameters)],
  ]);
}
