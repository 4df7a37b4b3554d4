/** Levels and entries of a value that a message shows. */
const [DEPTH, ENTRIES, LENGTH] = [3, 8, 200];

/**
 * A value of a file for a message: JSON that is cut off where it is deep or long, and that takes no more time or memory
 * for a value that is nested without an end, is used in many places or holds itself.
 */
export const shown = (value: unknown): string => {
  const text = part(value, DEPTH);
  return text.length <= LENGTH ? text : `${text.slice(0, LENGTH)}…`;
};

function part(value: unknown, depth: number): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, LENGTH));
  if (typeof value === "bigint") return String(BigInt.asIntN(64, value));
  if (typeof value !== "object" || value === null) return String(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (depth === 0) return `${open}…${close}`;
  const items: string[] = [];
  for (const key in value) {
    if (items.length === ENTRIES) {
      items.push("…");
      break;
    }
    const entry = part((value as Record<string, unknown>)[key], depth - 1);
    items.push(Array.isArray(value) ? entry : `${JSON.stringify(key.slice(0, LENGTH))}:${entry}`);
  }
  return `${open}${items.join(",")}${close}`;
}
