//! Plots as SVG text, drawn without a browser.
import { scaleLinear, scaleLog } from "d3-scale";
import { line } from "d3-shape";
import { escapeHtml } from "./html.js";

/** One line of a plot. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Drawn thin and pale, behind the others. */
  readonly faint?: boolean;
  /** Drawn as dots that are joined. */
  readonly dots?: boolean;
}

export interface ChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly series: readonly Series[];
  /** Whether equal ratios are equally far apart. Default `false`. */
  readonly log?: boolean;
  /** Whether the axis starts at 0. Default `false`. */
  readonly fromZero?: boolean;
}

const WIDTH = 520;
const HEIGHT = 250;
const MARGIN = { top: 12, right: 14, bottom: 34, left: 52 };
/** More points than pixels would only make the file large. */
const MAX_POINTS = 600;

/** A plot of lines over one axis. */
export function lineChart({ title, xLabel, series, log = false, fromZero = false }: ChartOptions): string {
  const finite = series.map((s) => ({
    ...s,
    points: s.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y) && !(log && y <= 0)),
  }));
  const all = finite.flatMap(({ points }) => points);
  const caption = `<figcaption>${escapeHtml(title)}${legend(series)}</figcaption>`;
  if (all.length === 0) return `<figure>${caption}<p>no data</p></figure>`;
  const x = scaleLinear(extent(all.map(([x]) => x)), [MARGIN.left, WIDTH - MARGIN.right]);
  const [low, high] = extent(all.map(([, y]) => y));
  const y = (log ? scaleLog() : scaleLinear())
    .domain(fromZero ? [0, high] : [low, high])
    .range([HEIGHT - MARGIN.bottom, MARGIN.top])
    .nice();
  const path = line<readonly [number, number]>(
    ([px]) => x(px),
    ([, py]) => y(py),
  );
  const drawn = finite.map(({ points, faint, dots }, i) => {
    const shown = thin(points);
    const marks = dots
      ? shown.map(
          ([px, py]) =>
            `<circle cx="${round(x(px))}" cy="${round(y(py))}" r="3.5"><title>${label(px)}: ${label(py)}</title></circle>`,
        )
      : [];
    return `<g class="s${i}${faint ? " faint" : ""}"><path d="${path.digits(1)(shown) ?? ""}"/>${marks.join("")}</g>`;
  });
  const yTicks = spread(y.ticks(5), y);
  const grid = yTicks.map((tick) => {
    const at = round(y(tick));
    return `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at}" y2="${at}"/><text x="${MARGIN.left - 8}" y="${at + 4}" text-anchor="end">${label(tick)}</text>`;
  });
  const base = HEIGHT - MARGIN.bottom;
  const xTicks = x
    .ticks(6)
    .map((tick) => `<text x="${round(x(tick))}" y="${base + 16}" text-anchor="middle">${label(tick)}</text>`);
  return (
    `<figure>${caption}<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">${grid.join("")}` +
    `<line class="axis" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${base}" y2="${base}"/>${xTicks.join("")}` +
    `<text x="${WIDTH - MARGIN.right}" y="${HEIGHT - 3}" text-anchor="end" class="label">${escapeHtml(xLabel)}</text>${drawn.join("")}</svg></figure>`
  );
}

/** Means that forget exponentially, over fewer points as long as there are few; what is not finite is left out. */
export function smoothed(points: readonly (readonly [number, number])[], window = 20): [number, number][] {
  let [mean, seen] = [0, 0];
  return points.flatMap(([x, y]): [number, number][] => {
    if (!Number.isFinite(y)) return [];
    seen++;
    mean += (y - mean) / Math.min(seen, 1 + seen / 4, window);
    return [[x, mean]];
  });
}

const legend = (series: readonly Series[]): string =>
  series.length < 2
    ? ""
    : series
        .map(
          ({ name, faint }, i) =>
            `<span class="key s${i}${faint ? " faint" : ""}">${escapeHtml(name)}</span>`,
        )
        .join("");

/** Ticks that leave room for their labels; a logarithmic axis has more than that. */
function spread(ticks: readonly number[], at: (tick: number) => number): number[] {
  const kept: number[] = [];
  // The leading digit 1 is the roundest, then 2 and 5.
  const rank = (tick: number): number => [1, 5, 2].indexOf(Number(tick.toExponential()[0])) >>> 0;
  for (const tick of [...ticks].sort((a, b) => rank(a) - rank(b))) {
    if (kept.every((other) => Math.abs(at(other) - at(tick)) >= 22)) kept.push(tick);
  }
  return kept;
}

const round = (value: number): number => Math.round(value * 10) / 10;

/** A number in few digits: `4e-3`, `0.25`, `12k`. */
function label(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && size < 0.01) return String(Number(value.toPrecision(2)).toExponential());
  if (size >= 10_000) return `${Number((value / 1000).toPrecision(3))}k`;
  return String(Number(value.toPrecision(4)));
}

function extent(values: readonly number[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  // A plot of one value needs some room as well.
  return low === high
    ? [low - (Math.abs(low) || 1) * 0.05, high + (Math.abs(high) || 1) * 0.05]
    : [low, high];
}

function thin<T>(points: readonly T[]): T[] {
  const step = Math.ceil(points.length / MAX_POINTS);
  return points.filter((_, i) => i % step === 0 || i === points.length - 1);
}
