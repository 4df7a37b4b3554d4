//! Numbers as people read them.

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** `1,234,567`. */
export const whole = (value: number): string => WHOLE.format(value);

/** `12.4 MB`: powers of 1000, three digits. */
export const bytes = (value: number): string => scaled(value, ["B", "kB", "MB", "GB", "TB"]);

/** `2.4M`, for counts. */
export const count = (value: number): string => scaled(value, ["", "k", "M", "G", "T"]).replace(" ", "");

function scaled(value: number, units: readonly string[]): string {
  let unit = 0;
  let rest = value;
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  const text = unit === 0 || rest >= 99.95 ? rest.toFixed(0) : rest.toPrecision(rest >= 9.995 ? 3 : 2);
  return `${text} ${units[unit]}`.trimEnd();
}

/** `3:07`, or `1:02:03` from an hour on. */
export function duration(seconds: number): string {
  const rounded = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(rounded / 3600), Math.floor(rounded / 60) % 60, rounded % 60];
  const two = (value: number): string => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Rows in columns; the first column to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const cell = (text: string, column: number): string =>
    column === 0 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!);
  return rows.map((row) => row.map(cell).join("  ").trimEnd()).join("\n");
}
