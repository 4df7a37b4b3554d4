//! Elements as text, by NumPy's rules: the shortest digits that name the value, at most 8 after the point, padded so
//! that columns line up; scientific where magnitudes are far apart.
import type { DType } from "../dtype.js";

const PRECISION = 8;

/** Bits of the mantissa, without the leading one. */
const MANTISSA: Partial<Record<DType, number>> = { bf16: 7, f16: 10, f32: 23 };

type Value = number | bigint;

/** A function that prints each of `values` in one width. */
export function formatter(values: ArrayLike<Value>, dtype: DType): (value: Value) => string {
  const list = Array.from(values);
  if (dtype === "bool") return padded(list, (value) => (value ? "true" : "false"));
  if (!dtype.includes("f")) return padded(list, String);
  return floatFormatter(list as number[], dtype);
}

function padded(list: readonly Value[], print: (value: Value) => string): (value: Value) => string {
  const width = Math.max(0, ...list.map((value) => print(value).length));
  return (value) => print(value).padStart(width);
}

function floatFormatter(list: readonly number[], dtype: DType): (value: Value) => string {
  const finite = list.filter(Number.isFinite);
  const magnitudes = finite.map(Math.abs).filter((value) => value > 0);
  const [least, most] = [Math.min(...magnitudes), Math.max(...magnitudes)];
  const scientific = magnitudes.length > 0 && (most >= 1e8 || least < 1e-4 || most / least > 1000);
  const parts = finite.map((value) => (scientific ? exponential(value, dtype) : positional(value, dtype)));
  const before = Math.max(0, ...parts.map(([whole]) => whole.length));
  const after = Math.max(0, ...parts.map(([, fraction]) => fraction.length));
  const exponentDigits = Math.max(2, ...parts.map(([, , exponent]) => exponent.length - 1));
  const tail = scientific ? after + exponentDigits + 2 : after;
  const special = list.filter((value) => !Number.isFinite(value)).map((value) => specialName(value).length);
  const width = Math.max(before + 1 + tail, ...special);
  return (value) => {
    const number = Number(value);
    if (!Number.isFinite(number)) return specialName(number).padStart(width);
    const [whole, fraction, exponent] = (scientific ? exponential : positional)(number, dtype);
    const text = scientific
      ? `${whole}.${fraction.padEnd(after, "0")}e${exponent[0]}${exponent.slice(1).padStart(exponentDigits, "0")}`
      : `${whole}.${fraction.padEnd(after)}`;
    return text.padStart(width);
  };
}

const specialName = (value: number): string => (Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf");

type Parts = [whole: string, fraction: string, exponent: string];

const trimZeros = (digits: string): string => digits.replace(/0+$/, "");
const signed = (value: number, digits: string): string => (Object.is(value, -0) ? `-${digits}` : digits);

/** Digits before and after the point. */
function positional(value: number, dtype: DType): Parts {
  const digits = shortest(value, dtype);
  let [, fraction = ""] = plain(digits).split(".");
  let text = plain(digits);
  if (fraction.length > PRECISION) {
    text = value.toFixed(PRECISION);
    [, fraction = ""] = text.split(".");
  }
  return [signed(value, text.split(".")[0]!), trimZeros(fraction), ""];
}

/** A decimal number without exponent; scientific notation is only left where it is printed so anyway. */
function plain(digits: string): string {
  const number = Number(digits);
  if (!digits.includes("e")) return digits;
  return Math.abs(number) >= 1 ? BigInt(Math.trunc(number)).toString() : number.toFixed(20);
}

function exponential(value: number, dtype: DType): Parts {
  const exact = Number(shortest(value, dtype)).toExponential();
  const [, fraction = ""] = exact.split("e")[0]!.split(".");
  const [mantissa, exponent] = (fraction.length > PRECISION ? value.toExponential(PRECISION) : exact).split(
    "e",
  );
  const [whole, rest = ""] = mantissa!.split(".");
  return [signed(value, whole!), trimZeros(rest), exponent!];
}

/** The fewest significant digits that round to `value` in its dtype. */
function shortest(value: number, dtype: DType): string {
  const bits = MANTISSA[dtype];
  if (bits === undefined || value === 0) return String(value);
  const magnitude = Math.abs(value);
  const spacing = 2 ** (Math.floor(Math.log2(magnitude)) - bits);
  for (let digits = 1; digits < 17; digits++) {
    const text = value.toPrecision(digits);
    const error = Math.abs(Number(text) - value);
    // Below a power of two neighbours are half as far.
    const room = Number(text) < value && Number.isInteger(Math.log2(magnitude)) ? spacing / 4 : spacing / 2;
    if (dtype === "f32" ? Math.fround(Number(text)) === value : error < room) return text;
  }
  return String(value);
}
