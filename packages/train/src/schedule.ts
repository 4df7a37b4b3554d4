//! Learning rates as pure functions of the update's number, which starts at 0.
import { ConfigError } from "@openelm/native";

/** The learning rate of an update: `update` is how many were done before it. */
export type Schedule = (update: number) => number;

/** What all schedules take. */
interface Warmup {
  /** The highest learning rate. */
  readonly lr: number;
  /** Updates over which the rate rises to `lr`. Default 0. */
  readonly warmup?: number | undefined;
  /** The rate of update 0 where there is a warmup. Default 1e-6. */
  readonly warmupLr?: number | undefined;
}

interface Falling extends Warmup {
  /** The rate at the end. Default a tenth of `lr`. */
  readonly minLr?: number | undefined;
  /** The update at which `minLr` is reached. */
  readonly updates: number;
}

/** `lr` throughout. */
export interface ConstantOptions extends Warmup {
  readonly kind: "constant";
}

/** From `lr` to `minLr` along half a cosine. */
export interface CosineOptions extends Falling {
  readonly kind: "cosine";
  /** Decimals that rates are rounded to. Default 8. */
  readonly decimals?: number | undefined;
}

/** From `lr` to `minLr` along a line. */
export interface LinearOptions extends Falling {
  readonly kind: "linear";
}

/** Warmup, stable, decay: `lr` for long, then down to `minLr` over the last updates. */
export interface WsdOptions extends Falling {
  readonly kind: "wsd";
  /** Updates of the decay. Default a tenth of `updates`. */
  readonly decay?: number | undefined;
  /** Along a line, or as `1 − √progress`. Default `"linear"`. */
  readonly shape?: "linear" | "sqrt" | undefined;
}

export type ScheduleOptions = ConstantOptions | CosineOptions | LinearOptions | WsdOptions;

/**
 * The schedule of the given kind.
 *
 * @throws ConfigError if a rate or a number of updates cannot be.
 * @example
 * ```ts
 * const schedule = createSchedule({ kind: "wsd", lr: 1e-3, updates: 1000, warmup: 50 });
 * schedule(500); // 0.001
 * ```
 */
export function createSchedule(options: ScheduleOptions): Schedule {
  switch (options.kind) {
    case "constant":
      return constantSchedule(options);
    case "cosine":
      return cosineSchedule(options);
    case "linear":
      return linearSchedule(options);
    case "wsd":
      return wsdSchedule(options);
  }
}

/** `lr` for every update after the warmup. */
export function constantSchedule({
  lr,
  warmup = 0,
  warmupLr = 1e-6,
}: Omit<ConstantOptions, "kind">): Schedule {
  check({ lr, warmup, warmupLr });
  return (update) => (update < warmup ? rising(update, { lr, warmup, warmupLr }) : lr);
}

/**
 * Warmup along a line, then half a cosine down to `minLr`.
 *
 * `update < warmup`: `warmupLr + update · (lr − warmupLr) / warmup`; else
 * `minLr + ½ (lr − minLr) (1 + cos(π (update − warmup) / (updates − warmup + 1)))`, both rounded to 8 decimals.
 *
 * The period is one longer than the updates that are left, so update `updates` is the first at `minLr`, and that only by
 * the rounding. Later updates keep `minLr`.
 *
 * @example
 * ```ts
 * const schedule = cosineSchedule({ lr: 2.4e-3, updates: 350_000, warmup: 5000 });
 * [schedule(0), schedule(5000), schedule(350_000)]; // [1e-6, 0.0024, 0.00024]
 * ```
 * @see Mehta et al., 2024, arXiv:2404.14619
 */
export function cosineSchedule(options: Omit<CosineOptions, "kind">): Schedule {
  const { lr, updates, warmup = 0, warmupLr = 1e-6, minLr = 0.1 * lr, decimals = 8 } = options;
  check({ lr, warmup, warmupLr, minLr, updates });
  return (update) => {
    if (update < warmup) return roundHalfEven(rising(update, { lr, warmup, warmupLr }), decimals);
    const done = Math.min(update, updates + 1) - warmup;
    const cosine = Math.cos((Math.PI * done) / (updates - warmup + 1));
    return roundHalfEven(Math.max(0, minLr + 0.5 * (lr - minLr) * (1 + cosine)), decimals);
  };
}

/** Warmup, then a line down to `minLr` at `updates`. */
export function linearSchedule(options: Omit<LinearOptions, "kind">): Schedule {
  const { lr, updates, warmup = 0, warmupLr = 1e-6, minLr = 0.1 * lr } = options;
  check({ lr, warmup, warmupLr, minLr, updates });
  return (update) => {
    if (update < warmup) return rising(update, { lr, warmup, warmupLr });
    if (update >= updates) return minLr;
    return lr + (minLr - lr) * ((update - warmup) / (updates - warmup));
  };
}

/** Warmup, `lr` until `updates − decay`, then down to `minLr` at `updates`. */
export function wsdSchedule(options: Omit<WsdOptions, "kind">): Schedule {
  const { lr, updates, warmup = 0, warmupLr = 1e-6, minLr = 0.1 * lr, shape = "linear" } = options;
  const decay = options.decay ?? Math.ceil(updates / 10);
  check({ lr, warmup, warmupLr, minLr, updates });
  if (!(decay >= 0 && warmup + decay <= updates)) {
    throw new ConfigError(`schedule: warmup ${warmup} and decay ${decay} do not fit into ${updates} updates`);
  }
  return (update) => {
    if (update < warmup) return rising(update, { lr, warmup, warmupLr });
    const start = updates - decay;
    if (update < start) return lr;
    if (update >= updates) return minLr;
    const progress = (update - start) / decay;
    return lr + (minLr - lr) * (shape === "sqrt" ? Math.sqrt(progress) : progress);
  };
}

const rising = (
  update: number,
  { lr, warmup, warmupLr }: Required<Pick<Warmup, "lr">> & { warmup: number; warmupLr: number },
): number => warmupLr + (update * (lr - warmupLr)) / warmup;

/**
 * Rounds to decimals, ties to the even digit, of a number that is not negative.
 *
 * `toFixed` rounds the exact binary value but takes ties up. A binary fraction lies halfway between two numbers of `d`
 * decimals only if it is an odd multiple of 2⁻⁽ᵈ⁺¹⁾, since `x = (2m + 1) / (2 · 10ᵈ)` has a finite binary expansion only
 * when 5ᵈ divides `2m + 1`.
 */
function roundHalfEven(x: number, decimals: number): number {
  const up = x.toFixed(decimals);
  if ((x * 2 ** (decimals + 1)) % 2 !== 1) return Number(up);
  const units = Math.round(Number(up) * 10 ** decimals);
  return units % 2 === 0 ? Number(up) : (units - 1) / 10 ** decimals;
}

function check(values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values)) {
    const whole = name === "warmup" || name === "updates";
    if (!(value >= 0) || !Number.isFinite(value) || (whole && !Number.isInteger(value))) {
      throw new ConfigError(
        `schedule: ${name} must be ${whole ? "a whole number" : "a number"} of 0 or more, got ${value}`,
      );
    }
  }
  const { warmup = 0, updates = warmup } = values;
  if (warmup > updates)
    throw new ConfigError(`schedule: warmup ${warmup} is longer than the ${updates} updates`);
}
