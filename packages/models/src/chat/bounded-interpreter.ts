//! Runs a template that nobody has looked at: it may be made to go on for ever, or to fill the memory.
import { Environment, Interpreter, type Template } from "@huggingface/jinja";

/** A value of a template. */
interface Value {
  readonly type: string;
  readonly value: unknown;
}

// The library's declarations name its files without their endings, so that the compiler knows none of its classes.
const Base = Interpreter as unknown as new (
  environment: unknown,
) => { evaluate(node: unknown, scope: unknown): Value; run(program: unknown): Value };

/**
 * What a template may cost: this much, which takes half a second, and more for each message and each character of them. A
 * published one costs some thousands a message.
 */
const WORK = { once: 1 << 22, message: 1 << 13, character: 16 } as const;
/** Characters of a text. */
const MAX_TEXT = 1 << 22;
/** Entries of a list, and of all that is in it. */
const MAX_ENTRIES = 1 << 16;
/** Columns of an indentation. */
const MAX_INDENT = 256;

/** A template that wants more than any conversation does. */
export class TemplateLimitError extends Error {}

/** Functions whose result may be longer than all that they are given together. */
const AMPLIFIERS = new Set(["indent", "tojson", "replace", "join"]);

interface AnyNode {
  readonly type: string;
  readonly value?: unknown;
  readonly callee?: AnyNode;
  readonly filter?: AnyNode;
  readonly operand?: AnyNode;
  readonly object?: AnyNode;
  readonly property?: AnyNode;
  readonly args?: readonly AnyNode[];
}

/** An interpreter that adds up what it does. */
class BoundedInterpreter extends Base {
  /** What may still be done. */
  #left: number;
  /** Entries of lists and tables and of all that is in them. */
  readonly #entries = new WeakMap<Value, number>();
  readonly #texts = new WeakSet<Value>();
  /** Values of the parts of the expression that comes next, which were looked at before it. */
  readonly #ready = new Map<unknown, Value>();

  constructor(environment: unknown, work: number) {
    super(environment);
    this.#left = work;
  }

  override evaluate(node: unknown, scope: unknown): Value {
    const ready = this.#ready.get(node);
    if (ready !== undefined) {
      this.#ready.delete(node);
      return ready;
    }
    this.#spend(8);
    if (node !== undefined) this.#checkAmplifier(node as AnyNode, scope);
    const value = super.evaluate(node, scope);
    this.#count(value);
    return value;
  }

  #spend(work: number): void {
    this.#left -= work;
    if (this.#left < 0) throw new TemplateLimitError("it takes more steps than a conversation needs");
  }

  /** Counts a value: much when it is new, little when it is used. */
  #count(value: Value): void {
    const { length } = textOf(value);
    if (length > MAX_TEXT) throw new TemplateLimitError(`a text has more than ${MAX_TEXT} characters`);
    const isNew = length > 0 && !this.#texts.has(value);
    if (isNew) this.#texts.add(value);
    this.#spend(isNew ? length / 4 : length / 1024);
    const known = this.#entries.get(value);
    const entries = known ?? this.#entriesOf(value);
    this.#spend(known === undefined ? 64 * itemsOf(value).length : entries / 8);
  }

  #entriesOf(value: Value): number {
    const items = itemsOf(value);
    let entries = items.length;
    // A list that is in another one twice is written twice.
    for (const item of items) entries += this.#entries.get(item) ?? this.#entriesOf(item);
    if (entries > MAX_ENTRIES) throw new TemplateLimitError(`a list has more than ${MAX_ENTRIES} entries`);
    if (items.length > 0) this.#entries.set(value, entries);
    return entries;
  }

  /** Evaluates the parts of what could make a long text of short ones, and refuses it before it does. */
  #checkAmplifier(node: AnyNode, scope: unknown): void {
    const isFilter = node.type === "FilterExpression" || node.type === "FilterStatement";
    const call = isFilter ? node.filter : node;
    if (call?.type !== "CallExpression") return;
    const isMethod = call.callee?.type === "MemberExpression";
    const name = String((isMethod ? call.callee?.property?.value : call.callee?.value) ?? "");
    if (!AMPLIFIERS.has(name)) return;
    const subject = isMethod ? call.callee?.object : node.operand;
    const arguments_ = (call.args ?? []).map((arg) =>
      arg.type === "KeywordArgumentExpression" ? (arg.value as AnyNode) : arg,
    );
    if (arguments_.some(({ type }) => type.endsWith("SpreadExpression")))
      throw new TemplateLimitError(`${name} takes its arguments from a list`);
    // None is ready before all are: one of them may run this same expression.
    const looked: [AnyNode, Value][] = [];
    for (const part of subject === undefined ? arguments_ : [subject, ...arguments_])
      looked.push([part, this.evaluate(part, scope)]);
    // The text of a filter's block is not known yet.
    const size = subject === undefined ? MAX_ENTRIES : sizeOf(looked[0]![1]);
    let longest = 1;
    for (const [, value] of subject === undefined ? looked : looked.slice(1)) {
      const number = typeof value.value === "number" ? value.value : 0;
      if (number > MAX_INDENT && name !== "replace")
        throw new TemplateLimitError(`${name} by ${number} columns`);
      longest = Math.max(longest, name === "replace" ? 0 : number, sizeOf(value));
    }
    if ((size + 1) * longest > 4 * MAX_TEXT) throw new TemplateLimitError(`${name} makes too long a text`);
    for (const [part, value] of looked) this.#ready.set(part, value);
  }
}

const textOf = ({ value }: Value): string => (typeof value === "string" ? value : "");

/** What is in a list or a table. */
function itemsOf({ type, value }: Value): readonly Value[] {
  if (Array.isArray(value)) return value as Value[];
  // A namespace has no text, and may hold itself.
  return value instanceof Map && type !== "NamespaceValue" ? ([...value.values()] as Value[]) : [];
}

const sizeOf = (value: Value): number => textOf(value).length + itemsOf(value).length;

/** Python's range, which makes a list. */
function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  if (step === 0) throw new Error("range() step must not be zero");
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= MAX_ENTRIES)) throw new TemplateLimitError(`range() of ${count} numbers`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

/**
 * The text of a template with these variables.
 *
 * @throws TemplateLimitError if it takes more steps or memory than any conversation needs; Error for what it does wrong.
 */
export function renderBounded(template: Template, variables: Readonly<Record<string, unknown>>): string {
  const environment = new Environment();
  const globals = {
    ...{ true: true, false: false, none: null, True: true, False: false, None: null },
    range,
    raise_exception(message: string): never {
      throw new Error(message);
    },
    strftime_now,
  };
  for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value);
  return String(new BoundedInterpreter(environment, workFor(variables)).run(template.parsed).value);
}

/** What these variables are worth. */
function workFor({ messages }: Readonly<Record<string, unknown>>): number {
  const list = (messages ?? []) as readonly Readonly<Record<string, unknown>>[];
  const characters = list
    .flatMap((message) => Object.values(message))
    .reduce<number>((sum, value) => sum + (typeof value === "string" ? value.length : 0), 0);
  return WORK.once + WORK.message * list.length + WORK.character * characters;
}

/** Now, by the letters of C's `strftime` that templates ask for. */
function strftime_now(format: string): string {
  const now = new Date();
  const two = (number: number): string => String(number).padStart(2, "0");
  const month = (style: "short" | "long"): string =>
    new Intl.DateTimeFormat(undefined, { month: style }).format(now);
  const parts: Readonly<Record<string, () => string>> = {
    "%Y": () => String(now.getFullYear()),
    "%m": () => two(now.getMonth() + 1),
    "%d": () => two(now.getDate()),
    "%b": () => month("short"),
    "%B": () => month("long"),
    "%H": () => two(now.getHours()),
    "%M": () => two(now.getMinutes()),
    "%%": () => "%",
  };
  return format.replace(/%[YmdbBHM%]/g, (part) => parts[part]!());
}
