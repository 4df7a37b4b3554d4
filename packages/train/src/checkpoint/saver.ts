import { FileError, isOpenELMError } from "@openelm/native";
import type { CheckpointEvent, WarningEvent } from "../loop/events.js";
import type { CheckpointStore, Retention, Snapshot } from "./store.js";

/** Failures in a row after which training without checkpoints is no longer worth it. */
const MAX_FAILURES = 3;

/** Saves checkpoints while training goes on, one at a time. */
export class BackgroundSaver {
  readonly #store: CheckpointStore;
  readonly #retention: Retention;
  #running: Promise<void> = Promise.resolve();
  #news: (CheckpointEvent | WarningEvent)[] = [];
  #failures = 0;
  #failure: unknown;

  constructor(store: CheckpointStore, retention: Retention) {
    this.#store = store;
    this.#retention = retention;
  }

  /** Begins to save, once the save before has ended. Takes over the snapshot. */
  async start(snapshot: () => Snapshot & Disposable): Promise<void> {
    await this.#running;
    this.#running = this.#save(snapshot());
  }

  async #save(snapshot: Snapshot & Disposable): Promise<void> {
    const { step } = snapshot.state;
    try {
      const folder = await this.#store.save(snapshot, this.#retention);
      this.#failures = 0;
      this.#failure = undefined;
      this.#news.push({ type: "checkpoint", step, folder });
    } catch (error) {
      this.#failures += 1;
      this.#failure = error;
      const message = `the checkpoint of step ${step} could not be saved: ${(error as Error).message}`;
      this.#news.push({ type: "warning", step, message, ...(isOpenELMError(error) ? { error } : {}) });
    } finally {
      snapshot[Symbol.dispose]();
    }
  }

  /**
   * What happened since the last call.
   *
   * @throws FileError (or what else went wrong) if saving has failed several times in a row.
   */
  take(): (CheckpointEvent | WarningEvent)[] {
    const news = this.#news;
    this.#news = [];
    if (this.#failures >= MAX_FAILURES)
      throw this.#error(`${this.#failures} checkpoints in a row could not be saved`);
    return news;
  }

  /** Waits for the save that is under way. */
  async settle(): Promise<void> {
    await this.#running;
  }

  /** @throws FileError (or what else went wrong) if the last save failed. */
  check(): void {
    if (this.#failure !== undefined) throw this.#error("the last checkpoint could not be saved");
  }

  #error(what: string): unknown {
    const cause = this.#failure;
    this.#failures = 0;
    this.#failure = undefined;
    if (!(cause instanceof FileError)) return cause;
    return new FileError(`${what}: ${cause.message}`, {
      cause,
      ...(cause.path === undefined ? {} : { path: cause.path }),
    });
  }
}
