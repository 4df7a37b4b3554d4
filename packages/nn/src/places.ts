import { fields, isCollection, Module } from "./module.js";

/** Where a layer stands: in a field, an array or a Map. */
export interface Place<L extends Module> {
  readonly path: string;
  readonly layer: L;
  /** Puts another in its place. */
  put(layer: Module): void;
}

/** A class of layers. */
type LayerClass<L extends Module> = abstract new (...args: never[]) => L;

/**
 * The places inside `model` of layers of exactly these classes, in the order of the fields. A layer that stands in several
 * places has them all.
 */
export function placesIn<L extends Module>(model: Module, classes: readonly LayerClass<L>[]): Place<L>[] {
  // A subclass computes something else, which would be lost.
  const fits = (item: object): item is L => classes.includes(item.constructor as LayerClass<L>);
  return [...search(model, fits, "", new Set([model]))];
}

function* search<L extends Module>(
  holder: object,
  fits: (item: object) => item is L,
  prefix: string,
  seen: Set<object>,
): Iterable<Place<L>> {
  for (const [name, item] of fields(holder)) {
    if (typeof item !== "object" || item === null) continue;
    const path = prefix === "" ? name : `${prefix}.${name}`;
    if (fits(item)) yield { path, layer: item, put: (made) => set(holder, name, made) };
    else if ((item instanceof Module || isCollection(item)) && !seen.has(item)) {
      seen.add(item);
      yield* search(item, fits, path, seen);
    }
  }
}

function set(holder: object, name: string, layer: Module): void {
  if (holder instanceof Map) {
    // Keys may be other than strings; names are how they read.
    for (const key of holder.keys()) if (String(key) === name) holder.set(key, layer);
  } else (holder as Record<string, Module>)[name] = layer;
}
