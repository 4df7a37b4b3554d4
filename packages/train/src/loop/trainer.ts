import { join } from "node:path";
import { type FormatError, OpenELMError, UsageError } from "@openelm/native";
import type { Device } from "@openelm/tensor";
import { averageCheckpoints } from "../checkpoint/average.js";
import { lockFolder } from "../checkpoint/lock.js";
import { modelFiles } from "../checkpoint/model-files.js";
import { BackgroundSaver } from "../checkpoint/saver.js";
import { applyTensors, generatorStates, restoreGenerators, takeSnapshot } from "../checkpoint/snapshot.js";
import type { RunState } from "../checkpoint/state.js";
import { CheckpointStore } from "../checkpoint/store.js";
import { tuningChange, tuningFacts } from "../checkpoint/tuning.js";
import type { Batch } from "./contracts.js";
import { evaluate } from "./evaluate.js";
import type {
  DoneEvent,
  EvalEvent,
  Evaluation,
  ResumeEvent,
  StepEvent,
  TrainEvent,
  WarningEvent,
} from "./events.js";
import { Journal } from "./journal.js";
import { outlook, reachedLimit } from "./limits.js";
import { checkTrainerOptions, isDue, type TrainerOptions } from "./options.js";
import { Pace } from "./pace.js";
import type { Reading } from "./update.js";
import { Updates } from "./updates.js";

/** Steps whose numbers are not read yet: the device always has the next one to go on with. */
const READ_BEHIND = 2;

/** Too many updates in a row were not finite. */
export class DivergedError extends OpenELMError {
  readonly step: number;
  constructor(step: number, skips: number) {
    super(
      "DIVERGED",
      `loss or gradients were not finite in ${skips} updates in a row, the last being step ${step}; the weights are those ` +
        "before them. Lower the learning rate, lengthen the warmup, or look at the data",
    );
    this.step = step;
  }
}

/** An update that was enqueued and has not been heard of. */
interface Pending {
  readonly step: number;
  readonly lr: number;
  readonly tokens: number;
  readonly reading: Promise<Reading>;
}

/** Options of {@link Trainer.run}. */
export interface RunOptions {
  /** Stops the run after the step under way; a checkpoint is saved first. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Trains a language model: reads batches, updates, evaluates, writes logs and checkpoints, and resumes bit for bit.
 *
 * The computation runs apart from the JavaScript thread; between any two micro-batches the event loop turns. Losses are
 * read two steps late, so events come two steps late as well.
 *
 * @example
 * ```ts no-run
 * const trainer = new Trainer({ model, optimizer, loader, schedule, steps: 1000, folder: "runs/a", checkpoint: { every: 100 } });
 * for await (const event of trainer.run({ signal })) {
 *   if (event.type === "step") console.log(event.step, event.loss);
 * }
 * ```
 */
export class Trainer {
  readonly #options: TrainerOptions;
  readonly #device: Device;
  readonly #store: CheckpointStore | undefined;
  readonly #updates: Updates;
  readonly #pace = new Pace();
  #running = false;
  /** Whether `folder` has been looked into. */
  #resumed = false;
  #batches: AsyncIterator<Batch> | undefined;
  #pending: Pending[] = [];
  #step = 0;
  #tokens = 0;
  #elapsed = 0;
  #since = 0;
  #skips = 0;
  #lr = 0;
  #best: number | undefined;
  /** The step of the last whole checkpoint. */
  #savedStep: number | undefined;
  #lastEval: { readonly step: number; readonly loss: number } | undefined;

  /** @throws UsageError naming the option that cannot be. */
  constructor(options: TrainerOptions) {
    checkTrainerOptions(options);
    this.#options = options;
    const { model, optimizer, folder, checkpoint } = options;
    const { precision = "f32", loss = {}, clip = 1, capture = "auto" } = options;
    this.#device = model.parameters()[0]!.device;
    this.#updates = new Updates(model, optimizer, { precision, loss, clip, capture });
    if (folder !== undefined) {
      this.#store = new CheckpointStore(join(folder, "checkpoints"), checkpoint?.files ?? modelFiles(model), {
        node: process.versions.node,
        ...checkpoint?.versions,
      });
    }
  }

  /** Updates done. */
  get step(): number {
    return this.#step;
  }

  /** Runs to the end; see {@link run}. `onEvent` of the options hears what happens. */
  async fit(options: RunOptions = {}): Promise<DoneEvent> {
    let last: TrainEvent | undefined;
    for await (const event of this.run(options)) last = event;
    return last as DoneEvent;
  }

  /**
   * Trains, and tells what happens as it does.
   *
   * If iteration is broken off, or the run fails, another `run` goes on from there in the same process; another process
   * goes on from the last checkpoint.
   *
   * @throws `signal.reason` when it was aborted, {@link DivergedError}, FileError if logs or checkpoints cannot be
   * written, UsageError if `resume` is false and the folder has a run.
   */
  async *run({ signal }: RunOptions = {}): AsyncGenerator<TrainEvent, void, void> {
    if (this.#running) throw new UsageError("Trainer.run: this trainer is running already");
    this.#running = true;
    const { folder, checkpoint = {} } = this.#options;
    let unlock: (() => Promise<void>) | undefined;
    let journal: Journal | undefined;
    let saver: BackgroundSaver | undefined;
    try {
      if (folder !== undefined) unlock = await lockFolder(folder);
      yield* this.#told(this.#resume());
      if (folder !== undefined) {
        const heard = this.#step - this.#pending.length;
        journal = await Journal.open(folder, heard, { tensorboard: this.#options.tensorboard ?? true });
        saver = new BackgroundSaver(this.#store!, {
          keepLast: checkpoint.keepLast ?? 2,
          keepBest: checkpoint.keepBest ?? 0,
        });
      }
      yield* this.#told(this.#loop(journal, saver, signal));
    } finally {
      this.#updates[Symbol.dispose]();
      this.#stopClock();
      await saver?.settle();
      await journal?.close();
      await unlock?.();
      this.#running = false;
    }
  }

  /** Passes events on, to `onEvent` first. */
  async *#told(events: AsyncIterable<TrainEvent>): AsyncGenerator<TrainEvent, void, void> {
    for await (const event of events) {
      await this.#options.onEvent?.(event);
      yield event;
    }
  }

  async *#loop(
    journal: Journal | undefined,
    saver: BackgroundSaver | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<TrainEvent> {
    const { model, optimizer, schedule, checkpoint = {} } = this.#options;
    model.train();
    this.#startClock();
    if (this.#step === 0) yield* this.#look(journal, signal);
    else if (this.#owesEvaluation()) {
      // A run that was stopped while it evaluated owes that to its log.
      yield* this.#settle(0, journal);
      yield* this.#evaluate(journal, signal);
    }
    let reason = this.#reason();
    while (reason === undefined) {
      if (signal?.aborted) yield* this.#stop(journal, saver, signal);
      const batches = await this.#nextBatches();
      if (batches === undefined) {
        reason = "data";
        break;
      }
      this.#lr = schedule?.(this.#step) ?? optimizer.lr;
      const { reading } = await this.#updates.next(batches, this.#lr);
      this.#step += 1;
      this.#tokens += batches.reduce((sum, batch) => sum + batch.tokens, 0);
      this.#pending.push({ step: this.#step, lr: this.#lr, tokens: this.#tokens, reading });
      const refusal = this.#updates.takeRefusal();
      if (refusal !== undefined) yield { type: "eager", step: this.#step, reason: refusal };
      yield* this.#settle(READ_BEHIND, journal);
      yield* this.#look(journal, signal);
      if (saver && isDue(checkpoint, this.#step)) {
        yield* this.#settle(0, journal);
        await journal?.sync();
        this.#updates.makeRoom();
        await saver.start(() => this.#snapshot());
      }
      yield* this.#news(saver);
      reason = this.#reason();
    }
    yield* this.#settle(0, journal);
    this.#updates[Symbol.dispose]();
    yield* this.#finish(reason, journal, saver, signal);
  }

  /** Evaluates and samples where that is due now. */
  async *#look(journal: Journal | undefined, signal: AbortSignal | undefined): AsyncGenerator<TrainEvent> {
    const { sample } = this.#options;
    if (this.#owesEvaluation()) {
      yield* this.#settle(0, journal);
      this.#updates.makeRoom();
      yield* this.#evaluate(journal, signal);
    }
    if (sample && isDue(sample, this.#step) && !signal?.aborted) {
      yield* this.#settle(0, journal);
      this.#updates.makeRoom();
      yield { type: "sample", step: this.#step, sample: await sample.run(this.#step) };
      this.#pace.reset();
    }
  }

  async *#finish(
    reason: DoneEvent["reason"],
    journal: Journal | undefined,
    saver: BackgroundSaver | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<TrainEvent> {
    const { evaluation, checkpoint = {}, folder } = this.#options;
    const isEvaluated = this.#lastEval?.step === this.#step;
    if (evaluation && !isEvaluated && this.#step > 0) yield* this.#evaluate(journal, signal);
    if (signal?.aborted) yield* this.#stop(journal, saver, signal);
    yield* this.#save(journal, saver);
    if (checkpoint.average !== undefined && checkpoint.average > 0 && this.#store) {
      await averageCheckpoints(
        (await this.#store.list()).slice(-checkpoint.average),
        join(folder!, "average"),
      );
    }
    this.#stopClock();
    yield { type: "done", step: this.#step, tokens: this.#tokens, elapsed: this.#elapsed, reason };
  }

  /** Whether held-out data is to be looked at now and has not been. */
  #owesEvaluation(): boolean {
    const { evaluation } = this.#options;
    return evaluation !== undefined && isDue(evaluation, this.#step) && this.#lastEval?.step !== this.#step;
  }

  /** Evaluates; if the run is stopped meanwhile, nothing is told. */
  async *#evaluate(journal: Journal | undefined, signal: AbortSignal | undefined): AsyncGenerator<EvalEvent> {
    const { model, evaluation, precision, loss } = this.#options;
    const { batches, bytesPerToken } = evaluation!;
    let result: Evaluation;
    try {
      const ignoreIndex = loss?.ignoreIndex;
      result = await evaluate(model, batches(), { precision, bytesPerToken, signal, ignoreIndex });
    } catch (error) {
      if (signal?.aborted && error === signal.reason) return;
      throw error;
    }
    const best = result.loss < (this.#best ?? Number.POSITIVE_INFINITY);
    if (best) this.#best = result.loss;
    this.#lastEval = { step: this.#step, loss: result.loss };
    const event: EvalEvent = { type: "eval", step: this.#step, ...result, best };
    await journal?.eval(event);
    this.#pace.reset();
    yield event;
  }

  /** Saves, and throws the reason of the signal. */
  async *#stop(
    journal: Journal | undefined,
    saver: BackgroundSaver | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<TrainEvent> {
    yield* this.#settle(0, journal);
    yield* this.#save(journal, saver);
    throw signal.reason;
  }

  /** Saves the present state and waits for it, unless it is saved already. */
  async *#save(journal: Journal | undefined, saver: BackgroundSaver | undefined): AsyncGenerator<TrainEvent> {
    // Before the first step there is nothing that a new run would not have.
    if (saver === undefined || this.#step === 0) return;
    await saver.settle();
    yield* this.#news(saver);
    if (this.#savedStep !== this.#step) {
      await journal?.sync();
      await saver.start(() => this.#snapshot());
      await saver.settle();
      yield* this.#news(saver);
    }
    saver.check();
  }

  /** What the saver has done since the last look. */
  *#news(saver: BackgroundSaver | undefined): Generator<TrainEvent> {
    for (const event of saver?.take() ?? []) {
      if (event.type === "checkpoint") this.#savedStep = event.step;
      yield event;
    }
  }

  /** Hears of updates until at most `behind` are open. */
  async *#settle(behind: number, journal: Journal | undefined): AsyncGenerator<StepEvent | WarningEvent> {
    const { maxSkips = 10, flopsPerToken } = this.#options;
    while (this.#pending.length > behind) {
      const [{ step, lr, tokens, reading }] = this.#pending as [Pending];
      const numbers = await reading;
      this.#pace.mark(step, tokens);
      const elapsed = this.#now();
      const { rate } = this.#pace;
      const memory = this.#device.memory();
      const event: StepEvent = {
        type: "step",
        step,
        ...numbers,
        lr,
        tokens,
        tokensPerSecond: rate.tokens,
        flopsPerSecond: flopsPerToken === undefined ? undefined : flopsPerToken * rate.tokens,
        elapsed,
        ...outlook(this.#options, { step, tokens, elapsed }, rate),
        memory: { current: memory.current, peak: memory.peak },
      };
      await journal?.step(event);
      // What could not be logged is still to be told.
      this.#pending.shift();
      this.#skips = numbers.skipped ? this.#skips + 1 : 0;
      yield event;
      if (numbers.skipped) {
        yield {
          type: "warning",
          step,
          message: `update ${step} was skipped: its loss or gradients were not finite`,
        };
      }
      if (this.#skips >= maxSkips) throw new DivergedError(step, this.#skips);
    }
  }

  #reason(): DoneEvent["reason"] | undefined {
    return reachedLimit(this.#options, { step: this.#step, tokens: this.#tokens, elapsed: this.#now() });
  }

  /** Batches of one update; undefined when there are not enough left. */
  async #nextBatches(): Promise<Batch[] | undefined> {
    const { accumulate = 1, loader } = this.#options;
    this.#batches ??= loader[Symbol.asyncIterator]();
    const batches: Batch[] = [];
    while (batches.length < accumulate) {
      const { value, done } = await this.#batches.next();
      if (done) return undefined;
      batches.push(value);
    }
    return batches;
  }

  #snapshot(): ReturnType<typeof takeSnapshot> {
    const { model, optimizer, loader, generators = {} } = this.#options;
    const tuning = tuningFacts(this.#device);
    const state: RunState = {
      step: this.#step,
      tokens: this.#tokens,
      elapsed: this.#now(),
      skips: this.#skips,
      loader: structuredClone(loader.state),
      generators: generatorStates(generators),
      lr: this.#lr,
      ...(this.#lastEval?.step === this.#step ? { metric: this.#lastEval.loss } : {}),
      ...(this.#best === undefined ? {} : { best: this.#best }),
      ...(tuning && { tuning }),
    };
    return takeSnapshot(model, optimizer, state);
  }

  /** Looks for a checkpoint to go on from, once. */
  async *#resume(): AsyncGenerator<ResumeEvent | WarningEvent> {
    const { folder, resume = true, model, optimizer, loader, generators = {}, schedule } = this.#options;
    if (this.#resumed || this.#store === undefined) return;
    if (!resume && !(await this.#store.isEmpty())) {
      throw new UsageError(
        `Trainer: ${folder} has a run already; continue it with resume: true, or choose another folder`,
      );
    }
    await this.#store.clean();
    const warnings: WarningEvent[] = [];
    const passOver = (error: FormatError): void => {
      const message = `a checkpoint is passed over: ${error.message}`;
      warnings.push({ type: "warning", step: 0, message, error });
    };
    const found = await this.#store.find(passOver);
    yield* warnings;
    if (found !== undefined) {
      const { state } = found;
      applyTensors(model, optimizer, await this.#store.load(found));
      await loader.restore(state.loader as never);
      restoreGenerators(generators, state.generators);
      this.#step = state.step;
      this.#tokens = state.tokens;
      this.#elapsed = state.elapsed;
      this.#skips = state.skips;
      this.#lr = state.lr;
      this.#best = state.best;
      this.#savedStep = state.step;
      if (state.metric !== undefined) this.#lastEval = { step: state.step, loss: state.metric };
      yield { type: "resume", step: state.step, folder: found.folder };
      const expected = state.step > 0 ? schedule?.(state.step - 1) : undefined;
      if (expected !== undefined && expected !== state.lr) {
        const message = `the schedule has changed: update ${state.step - 1} had the learning rate ${state.lr}, it now would have ${expected}`;
        yield { type: "warning", step: state.step, message };
      }
      const retuned = tuningChange(state.tuning, tuningFacts(this.#device));
      if (retuned !== undefined) yield { type: "warning", step: state.step, message: retuned };
    }
    this.#resumed = true;
  }

  #startClock(): void {
    this.#since = performance.now();
    this.#pace.reset();
  }

  /** Seconds of training so far. */
  #now(): number {
    return this.#elapsed + (this.#since === 0 ? 0 : (performance.now() - this.#since) / 1000);
  }

  #stopClock(): void {
    this.#elapsed = this.#now();
    this.#since = 0;
  }
}
