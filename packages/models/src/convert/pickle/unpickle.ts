//! Reads the pickles that torch writes for tensors, as data: a stack machine that knows no function of the file's choice.
import type { FormatError } from "@openelm/native";
import { BadCall, isKnownGlobal, meaningOf } from "./globals.js";
import { Global, Opaque, PersistentId, PickleTuple, type PickleValue, StoredTensor } from "./values.js";

/** Where values since the last opening bracket begin. */
class Mark {}
const MARK = new Mark();

/**
 * The value that a pickle holds.
 *
 * Work and memory grow with its length: values that are used again are shared, not copied, and nothing recurses.
 *
 * @param bad - Makes the error for a byte of `bytes`.
 * @throws FormatError for what is cut off, for instructions and names that files of tensors do not have.
 * @see https://docs.python.org/3/library/pickletools.html
 */
export function unpickle(bytes: Uint8Array, bad: (at: number, what: string) => FormatError): PickleValue {
  return new Machine(bytes, bad).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #bad: (at: number, what: string) => FormatError;
  readonly #stack: (PickleValue | Mark)[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;
  /** Of the instruction that runs. */
  #start = 0;

  constructor(bytes: Uint8Array, bad: (at: number, what: string) => FormatError) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#bad = bad;
  }

  run(): PickleValue {
    for (;;) {
      this.#start = this.#at;
      const code = this.#bytes[this.#take(1)]!;
      if (code === STOP) return this.#pop();
      const instruction = INSTRUCTIONS.get(code);
      if (instruction === undefined) {
        const shown = code > 32 && code < 127 ? `"${String.fromCharCode(code)}"` : `0x${code.toString(16)}`;
        throw this.fail(`the pickle has the instruction ${shown}, which files of tensors do not need`);
      }
      instruction(this);
    }
  }

  fail(what: string): FormatError {
    return this.#bad(this.#start, what);
  }

  /** Goes on by some bytes; where they begin. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) throw this.#bad(at, "the pickle ends inside an instruction");
    this.#at += count;
    return at;
  }

  u8 = (): number => this.#bytes[this.#take(1)]!;
  u16 = (): number => this.#view.getUint16(this.#take(2), true);
  u32 = (): number => this.#view.getUint32(this.#take(4), true);
  i32 = (): number => this.#view.getInt32(this.#take(4), true);
  f64 = (): number => this.#view.getFloat64(this.#take(8), false);

  /** A length of 8 bytes, which is checked against what is there. */
  u64(): number {
    const value = this.#view.getBigUint64(this.#take(8), true);
    if (value > BigInt(this.#bytes.length)) throw this.fail("the pickle ends inside an instruction");
    return Number(value);
  }

  raw(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  text(count: number): string {
    return Buffer.from(this.raw(count)).toString("utf8");
  }

  line(): string {
    const end = this.#bytes.indexOf(10, this.#at);
    if (end < 0) throw this.fail("the pickle ends inside a name");
    const text = this.text(end - this.#at);
    this.#at = end + 1;
    return text;
  }

  push(value: PickleValue | Mark): void {
    this.#stack.push(value);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined || value instanceof Mark)
      throw this.fail("the pickle takes a value that is not there");
    return value;
  }

  pop = (): PickleValue => this.#pop();

  top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value instanceof Mark)
      throw this.fail("the pickle takes a value that is not there");
    return value;
  }

  /** The values since the last mark, which goes with them. */
  popMarked(): PickleValue[] {
    const at = this.#stack.lastIndexOf(MARK);
    if (at < 0) throw this.fail("the pickle closes a bracket that was not opened");
    return this.#stack.splice(at).slice(1) as PickleValue[];
  }

  mark(): void {
    this.push(MARK);
  }

  popMany(count: number): PickleValue[] {
    const values = Array.from({ length: count }, () => this.#pop());
    return values.reverse();
  }

  put(index: number): void {
    this.#memo.set(index, this.top());
  }

  memoize(): void {
    this.put(this.#memo.size);
  }

  get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.fail(`the pickle uses value ${index}, which it has not stored`);
    this.push(value);
  }

  global(module: string, name: string): void {
    const full = `${module}.${name}`;
    if (!isKnownGlobal(full)) {
      throw this.fail(`the pickle names ${full}, which is no part of a tensor; nothing of it was executed`);
    }
    this.push(new Global(full));
  }

  call(): void {
    const args = this.#pop();
    const callee = this.#pop();
    try {
      this.push(meaningOf(callee, args));
    } catch (error) {
      if (error instanceof BadCall) throw this.fail(error.message);
      throw error;
    }
  }

  list(): PickleValue[] {
    const list = this.top();
    if (!Array.isArray(list)) throw this.fail("the pickle appends to what is no list");
    return list;
  }

  fill(items: readonly PickleValue[]): void {
    const map = this.top();
    if (map instanceof Opaque) return;
    if (!(map instanceof Map)) throw this.fail("the pickle puts items into what is no dictionary");
    if (items.length % 2 !== 0) throw this.fail("the pickle has a key without a value");
    for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!);
  }

  /** Attributes of an object, such as the versions that a state dictionary notes: of no use here. */
  build(): void {
    this.#pop();
    const value = this.top();
    const mayHave = value instanceof Map || value instanceof Opaque || value instanceof StoredTensor;
    if (!mayHave) throw this.fail("the pickle sets attributes of what has none");
  }
}

/** A little-endian number in two's complement. */
function long(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  if (bytes.length > 0 && bytes.at(-1)! >= 128) value -= 1n << BigInt(8 * bytes.length);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

const STOP = 0x2e;

/** Instructions by their codes; names as in Python's pickletools. */
const INSTRUCTIONS: ReadonlyMap<number, (m: Machine) => void> = new Map<number, (m: Machine) => void>([
  [0x80, (m) => checkProtocol(m, m.u8())], // PROTO
  [0x95, (m) => void m.u64()], // FRAME
  [0x28, (m) => m.mark()], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x4a, (m) => m.push(m.i32())], // BININT
  [0x4b, (m) => m.push(m.u8())], // BININT1
  [0x4d, (m) => m.push(m.u16())], // BININT2
  [0x8a, (m) => m.push(long(m.raw(m.u8())))], // LONG1
  [0x47, (m) => m.push(m.f64())], // BINFLOAT
  [0x58, (m) => m.push(m.text(m.u32()))], // BINUNICODE
  [0x8c, (m) => m.push(m.text(m.u8()))], // SHORT_BINUNICODE
  [0x8d, (m) => m.push(m.text(m.u64()))], // BINUNICODE8
  [0x54, (m) => m.push(m.raw(m.u32()))], // BINSTRING
  [0x55, (m) => m.push(m.raw(m.u8()))], // SHORT_BINSTRING
  [0x42, (m) => m.push(m.raw(m.u32()))], // BINBYTES
  [0x43, (m) => m.push(m.raw(m.u8()))], // SHORT_BINBYTES
  [0x5d, (m) => m.push([])], // EMPTY_LIST
  [0x61, (m) => append(m)], // APPEND
  [0x65, (m) => extend(m)], // APPENDS
  [0x7d, (m) => m.push(new Map())], // EMPTY_DICT
  [0x73, (m) => m.fill(m.popMany(2))], // SETITEM
  [0x75, (m) => m.fill(m.popMarked())], // SETITEMS
  [0x29, (m) => m.push(new PickleTuple([]))], // EMPTY_TUPLE
  [0x74, (m) => m.push(new PickleTuple(m.popMarked()))], // TUPLE
  [0x85, (m) => m.push(new PickleTuple(m.popMany(1)))], // TUPLE1
  [0x86, (m) => m.push(new PickleTuple(m.popMany(2)))], // TUPLE2
  [0x87, (m) => m.push(new PickleTuple(m.popMany(3)))], // TUPLE3
  [0x71, (m) => m.put(m.u8())], // BINPUT
  [0x72, (m) => m.put(m.u32())], // LONG_BINPUT
  [0x94, (m) => m.memoize()], // MEMOIZE
  [0x68, (m) => m.get(m.u8())], // BINGET
  [0x6a, (m) => m.get(m.u32())], // LONG_BINGET
  [0x63, (m) => m.global(m.line(), m.line())], // GLOBAL
  [0x93, (m) => stackGlobal(m)], // STACK_GLOBAL
  [0x52, (m) => m.call()], // REDUCE
  [0x81, (m) => m.call()], // NEWOBJ
  [0x62, (m) => m.build()], // BUILD
  [0x51, (m) => m.push(new PersistentId(m.pop()))], // BINPERSID
]);

function checkProtocol(m: Machine, version: number): void {
  if (version < 2 || version > 5) throw m.fail(`the pickle has protocol ${version}; torch writes 2 to 5`);
}

function append(m: Machine): void {
  const item = m.pop();
  m.list().push(item);
}

function extend(m: Machine): void {
  const items = m.popMarked();
  const list = m.list();
  for (const item of items) list.push(item);
}

function stackGlobal(m: Machine): void {
  const [module, name] = m.popMany(2);
  if (typeof module !== "string" || typeof name !== "string")
    throw m.fail("the pickle names what is no text");
  m.global(module, name);
}
