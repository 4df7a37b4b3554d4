//! The picture of layer-wise scaling: heads and feed-forward width of every layer.

import type { LayerShape } from "@openelm/models";
import { scaleLinear } from "d3-scale";

const ROW = 24;
const HEAD = 13;
const LEFT = 58;
/** Room for the label above the heads. */
const LABEL = 250;
const WIDTH = 720;

/** Layers from the last, on top, to the first: a square a query head, filled ones have keys and values, a bar for the feed-forward part. */
export function layersPicture(layers: readonly LayerShape[]): string {
  const mostHeads = Math.max(...layers.map(({ queryHeads }) => queryHeads));
  const barLeft = LEFT + Math.max(mostHeads * (HEAD + 2), LABEL) + 28;
  const width = scaleLinear(
    [0, Math.max(...layers.map(({ feedForwardDim }) => feedForwardDim))],
    [0, WIDTH - barLeft - 60],
  );
  const rows = layers.map(({ queryHeads, kvHeads, feedForwardDim }, layer) => {
    const y = (layers.length - 1 - layer) * ROW + 22;
    const heads = Array.from({ length: queryHeads }, (_, head) => {
      // Query heads in a row share a key-value head; the first of each group stands for it.
      const own = head % (queryHeads / kvHeads) === 0;
      return `<rect class="${own ? "kv" : "q"}" x="${LEFT + head * (HEAD + 2)}" y="${y}" width="${HEAD}" height="${HEAD}" rx="2"/>`;
    });
    const bar = Math.round(width(feedForwardDim));
    return (
      `<g><title>layer ${layer}: ${queryHeads} query heads, ${kvHeads} key-value heads, feed-forward ${feedForwardDim}</title>` +
      `<text x="${LEFT - 10}" y="${y + 11}" text-anchor="end">layer ${layer}</text>${heads.join("")}` +
      `<rect class="ffn" x="${barLeft}" y="${y}" width="${bar}" height="${HEAD}" rx="2"/>` +
      `<text x="${barLeft + bar + 8}" y="${y + 11}">${feedForwardDim}</text></g>`
    );
  });
  const height = layers.length * ROW + 22;
  return (
    `<figure class="wide"><svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="heads and widths of every layer">` +
    `<text x="${LEFT}" y="12" class="label">query heads (dark ones have keys and values)</text>` +
    `<text x="${barLeft}" y="12" class="label">feed-forward width</text>${rows.join("")}</svg></figure>`
  );
}
