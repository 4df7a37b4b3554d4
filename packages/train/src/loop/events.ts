import type { OpenELMError } from "@openelm/native";

/** One update of the parameters. */
export interface StepEvent {
  readonly type: "step";
  /** Updates done, this one included. */
  readonly step: number;
  /** What was minimized, per counted token. */
  readonly loss: number;
  /** Its cross-entropy, in nats per token. */
  readonly ce: number;
  /** Its z-loss. */
  readonly z: number;
  readonly lr: number;
  /** Norm of all gradients before clipping. */
  readonly gradNorm: number;
  /** Whether loss or gradients were not finite, so that nothing was changed. */
  readonly skipped: boolean;
  /** Counted tokens so far. */
  readonly tokens: number;
  /** Of the last steps; 0 while there are none to measure by. */
  readonly tokensPerSecond: number;
  /** Floating-point operations per second, where those of a token are known. */
  readonly flopsPerSecond: number | undefined;
  /** Seconds of training, those before a resume included. */
  readonly elapsed: number;
  /** Seconds until the end, where it can be told. */
  readonly eta: number | undefined;
  /** Share that is done, in [0, 1], where it can be told. */
  readonly progress: number | undefined;
  /** Bytes in tensors on the device, now and at most. */
  readonly memory: { readonly current: number; readonly peak: number };
}

/** A look at data that is not trained on. */
export interface EvalEvent extends Evaluation {
  readonly type: "eval";
  readonly step: number;
  /** Whether no earlier evaluation of the run was better. */
  readonly best: boolean;
}

/** Loss over held-out data. */
export interface Evaluation {
  /** Cross-entropy in nats per token. */
  readonly loss: number;
  /** `loss / ln 2 / bytesPerToken`, where the bytes are known. */
  readonly bitsPerByte: number | undefined;
  /** Counted tokens. */
  readonly tokens: number;
}

/** A checkpoint is complete and on the disk. */
export interface CheckpointEvent {
  readonly type: "checkpoint";
  readonly step: number;
  readonly folder: string;
}

/** What the `sample` option returned. */
export interface SampleEvent {
  readonly type: "sample";
  readonly step: number;
  readonly sample: unknown;
}

/** The run goes on from a checkpoint. */
export interface ResumeEvent {
  readonly type: "resume";
  readonly step: number;
  readonly folder: string;
}

/** Something is wrong that the run can live with. */
export interface WarningEvent {
  readonly type: "warning";
  readonly step: number;
  readonly message: string;
  readonly error?: OpenELMError | undefined;
}

/** Updates are made call by call, where `capture` is `"auto"`; told once a run. */
export interface EagerEvent {
  readonly type: "eager";
  readonly step: number;
  /** Why they are not replayed. */
  readonly reason: string;
}

/** The end. */
export interface DoneEvent {
  readonly type: "done";
  readonly step: number;
  readonly tokens: number;
  readonly elapsed: number;
  /** Which limit was reached, or that the loader has no more. */
  readonly reason: "steps" | "tokens" | "minutes" | "data";
}

export type TrainEvent =
  | StepEvent
  | EvalEvent
  | CheckpointEvent
  | SampleEvent
  | ResumeEvent
  | WarningEvent
  | EagerEvent
  | DoneEvent;
