//! Ranges by which profilers tell modules apart.
import { nvtxRange } from "@openelm/tensor";

type Method = (this: object, ...args: unknown[]) => unknown;

const shown = new WeakSet<object>();
/** The module whose range began last. */
let innermost: object | undefined;

/**
 * Has the forward methods (`forward`, `forwardStream`, `addForward`, …) of a class and of those it extends, up to `base`,
 * run in a range named by `nameOf` their module.
 *
 * A module that calls such a method of its own stays in its range.
 */
export function showRanges<T extends object>(
  type: { prototype: T },
  base: object,
  nameOf: (module: T) => string,
): void {
  for (
    let prototype: object = type.prototype;
    prototype !== base && !shown.has(prototype);
    prototype = Object.getPrototypeOf(prototype) as object
  ) {
    shown.add(prototype);
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (!/forward/i.test(name) || typeof descriptor.value !== "function") continue;
      const method = descriptor.value as Method;
      const ranged: Method = function (...args) {
        if (innermost === this) return method.apply(this, args);
        const outer = innermost;
        innermost = this;
        try {
          return nvtxRange(nameOf(this as T), () => method.apply(this, args));
        } finally {
          innermost = outer;
        }
      };
      Object.defineProperty(prototype, name, { ...descriptor, value: ranged });
    }
  }
}
