//! A character model learns a poem in seconds.
import { POEM } from "./poem.js";
import { recite, trainCharLM } from "./train.js";

const trained = await trainCharLM(POEM);
const { losses } = trained;
console.log(
  `loss ${losses[0]!.toFixed(3)} → ${losses.at(-1)!.toFixed(3)} nats per character in ${losses.length} steps\n`,
);
console.log(await recite(trained, "In the f", 80));
