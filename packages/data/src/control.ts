import type { NativeControl, NativeProgress } from "@openelm/native";
import { binding, callAsync } from "./native.js";
import { type LongWork, Rate } from "./progress.js";

/** Runs native work that can be stopped by a signal and reports progress. */
export async function controlled<T>(work: LongWork, run: (control: NativeControl) => Promise<T>): Promise<T> {
  const { signal, onProgress } = work;
  signal?.throwIfAborted();
  const rate = new Rate();
  let settled = false;
  const report = ({ phase, done, total, unit, documents, tokens }: NativeProgress): void => {
    // A report that was on its way when the work ended.
    if (settled) return;
    onProgress?.({ phase, done, total, unit, ...rate.of(done), metrics: { documents, tokens } });
  };
  const control = new (binding().NativeControl)(onProgress && report);
  const cancel = (): void => control.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    return await callAsync(() => run(control));
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    settled = true;
    signal?.removeEventListener("abort", cancel);
  }
}
