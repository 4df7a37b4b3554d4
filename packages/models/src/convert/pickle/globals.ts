//! What the names in a pickle of tensors mean here. A name that is not in this table ends the reading.
import {
  Global,
  Opaque,
  PersistentId,
  PickleTuple,
  type PickleValue,
  type Storage,
  StoredTensor,
} from "./values.js";

/** Says what is wrong with a call. */
export class BadCall extends Error {}

type Meaning = (args: readonly PickleValue[]) => PickleValue;

const isSize = (value: PickleValue | undefined): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

function sizes(value: PickleValue | undefined, what: string): readonly number[] {
  const items = value instanceof PickleTuple ? value.items : undefined;
  if (items === undefined || items.length > 8 || !items.every(isSize))
    throw new BadCall(`${what} is no list of sizes`);
  return items as number[];
}

/** `('storage', torch.FloatStorage, key, location, elements)` */
function storageOf(value: PickleValue | undefined): Storage {
  const items = value instanceof PersistentId && value.id instanceof PickleTuple ? value.id.items : [];
  const [kind, type, key, , elements] = items;
  const isStorage =
    kind === "storage" && type instanceof Global && typeof key === "string" && isSize(elements);
  if (!isStorage) throw new BadCall("a tensor's storage is not as torch writes it");
  return { key, type: type.name.replace(/^torch\./, ""), elements };
}

const tensor: Meaning = ([storage, offset, shape, strides]) => {
  if (!isSize(offset)) throw new BadCall("a tensor's offset is no size");
  const tensor = new StoredTensor(
    storageOf(storage),
    offset,
    sizes(shape, "shape"),
    sizes(strides, "strides"),
  );
  if (tensor.shape.length !== tensor.strides.length) throw new BadCall("a tensor has not one stride an axis");
  return tensor;
};

const parameter: Meaning = ([data]) => {
  if (!(data instanceof StoredTensor)) throw new BadCall("a parameter holds no tensor");
  return data;
};

const opaque =
  (name: string): Meaning =>
  () =>
    new Opaque(name);

/** Functions and classes by their full names, and what a call of them gives. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  "collections.OrderedDict": ([items]) => pairs(items),
  "collections.defaultdict": () => new Map(),
  "torch._utils._rebuild_tensor_v2": tensor,
  "torch._utils._rebuild_parameter": parameter,
  "torch._utils._rebuild_parameter_with_state": parameter,
  "torch.nn.parameter.Parameter": parameter,
  "torch.Size": ([items]) => items ?? new PickleTuple([]),
  "torch.device": opaque("torch.device"),
  // Numbers that NumPy computed, such as a best score.
  "numpy.core.multiarray.scalar": opaque("numpy number"),
  "numpy._core.multiarray.scalar": opaque("numpy number"),
  "numpy.dtype": opaque("numpy.dtype"),
  "_codecs.encode": opaque("bytes"),
};

/** Names that stand for themselves: they are arguments and are never called. */
const PLAIN =
  /^torch\.(?:(?:Double|Float|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage|float(?:16|32|64)|bfloat16|u?int(?:8|16|32|64)|bool|strided|contiguous_format)$/;

/** Whether a name may stand in a file at all. */
export const isKnownGlobal = (name: string): boolean => Object.hasOwn(MEANINGS, name) || PLAIN.test(name);

/**
 * What a call in a pickle stands for. Nothing of the file is executed: the name picks one of the functions above.
 *
 * @throws BadCall if the arguments are not those that torch writes.
 */
export function meaningOf(callee: PickleValue | undefined, args: PickleValue | undefined): PickleValue {
  if (!(callee instanceof Global)) throw new BadCall("what is called is no function");
  if (!(args instanceof PickleTuple)) throw new BadCall(`${callee.name} is not called with a tuple`);
  const meaning = Object.hasOwn(MEANINGS, callee.name) ? MEANINGS[callee.name] : undefined;
  if (meaning === undefined) throw new BadCall(`${callee.name} is not a function that is known`);
  return meaning(args.items);
}

function pairs(items: PickleValue | undefined): Map<PickleValue, PickleValue> {
  const map = new Map<PickleValue, PickleValue>();
  if (items === undefined) return map;
  if (!Array.isArray(items)) throw new BadCall("an OrderedDict is not made of a list");
  for (const item of items) {
    const pair = item instanceof PickleTuple ? item.items : item;
    if (!Array.isArray(pair) || pair.length !== 2) throw new BadCall("an OrderedDict is not made of pairs");
    map.set(pair[0]!, pair[1]!);
  }
  return map;
}
