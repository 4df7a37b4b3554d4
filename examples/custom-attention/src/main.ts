//! Sliding-window attention without rotary positions, and an activation with a gradient rule of its own.
import { trainRecall } from "./recall.js";

for (const window of [6, 4]) {
  const loss = await trainRecall({ window, distance: 4 });
  console.log(
    `window ${window}: the token 4 positions before is known with a loss of ${loss.toFixed(3)} nats`,
  );
}
