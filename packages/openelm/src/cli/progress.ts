//! Progress of long work: a bar on a terminal, a line now and then elsewhere, JSON for a program.
import cliProgress from "cli-progress";
import { duration, whole } from "./format.js";
import type { Output } from "./output.js";

/** How far the work is. */
export interface ProgressState {
  readonly done: number;
  readonly total?: number | undefined;
  /** Seconds until the end, if the work itself knows better than a straight line. */
  readonly eta?: number | undefined;
  /** What else a person should see, such as the loss. */
  readonly detail?: string | undefined;
}

/** Shows one stage of the work. */
export interface ProgressView {
  update(state: ProgressState): void;
  /** A line that stays, above the bar. */
  print(text: string): void;
  /** Removes the bar; a line may stay in its place. */
  end(line?: string): void;
}

/** Milliseconds between plain lines. */
const LINE_EVERY = 10_000;

/** Starts showing a stage. `unit` is what `done` counts, such as `"bytes"`. */
export function showProgress(output: Output, title: string, unit = ""): ProgressView {
  if (output.json) return jsonView(output, title, unit);
  return output.interactive ? barView(output, title) : lineView(output, title, unit);
}

function barView(output: Output, title: string): ProgressView {
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    linewrap: null,
    fps: 10,
    barsize: 24,
    emptyOnZero: true,
    stopOnComplete: false,
    format: (options, params, payload: { detail?: string; eta?: string }) => {
      const drawn = (cliProgress.Format.BarFormat as (progress: number, options: object) => string)(
        params.progress,
        options,
      );
      const percent = `${Math.floor(params.progress * 100)}%`.padStart(4);
      const line = [`${title} ${drawn}${percent}`, payload.eta, payload.detail].filter(Boolean).join("  ");
      return line.slice(0, (process.stderr.columns ?? 80) - 1);
    },
  });
  let running = false;
  let last: ProgressState = { done: 0 };
  const draw = (state: ProgressState): void => {
    last = state;
    const payload = {
      detail: state.detail ?? "",
      eta: state.eta === undefined ? "" : `${duration(state.eta)} left`,
    };
    const total = state.total || 1;
    const done = state.total ? state.done : 0;
    if (!running) bar.start(total, done, payload);
    else {
      bar.setTotal(total);
      bar.update(done, payload);
    }
    running = true;
  };
  const clear = (): void => {
    if (running) bar.stop();
    running = false;
  };
  draw(last);
  output.live = { hide: clear, show: () => draw(last) };
  return {
    update: draw,
    print: (text) => output.say(text),
    end(line) {
      output.live = undefined;
      clear();
      if (line !== undefined) output.say(line);
    },
  };
}

function lineView(output: Output, title: string, unit: string): ProgressView {
  let next = performance.now() + LINE_EVERY;
  return {
    update({ done, total, eta, detail }) {
      if (performance.now() < next) return;
      next = performance.now() + LINE_EVERY;
      const share = total ? `${Math.floor((done / total) * 100)}%` : `${whole(done)} ${unit}`;
      output.note(
        [`${title} ${share}`, eta === undefined ? "" : `${duration(eta)} left`, detail]
          .filter(Boolean)
          .join("  "),
      );
    },
    print: (text) => output.say(text),
    end(line) {
      if (line !== undefined) output.say(line);
    },
  };
}

function jsonView(output: Output, phase: string, unit: string): ProgressView {
  let next = 0;
  return {
    update({ done, total, eta }) {
      if (performance.now() < next && done !== total) return;
      next = performance.now() + 1000;
      output.emit({ type: "progress", phase, done, total, unit, eta });
    },
    print: () => undefined,
    end: () => undefined,
  };
}
