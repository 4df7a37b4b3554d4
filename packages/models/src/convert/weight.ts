//! Weights as sources give them and as formats want them: by rows, so that no tensor is ever in memory as a whole.

/** Floats that stand in files as they are. */
export type FloatName = "f64" | "f32" | "bf16" | "f16";

/** How the numbers of a weight are stored. */
export type Encoding =
  | { readonly kind: "plain"; readonly dtype: FloatName }
  /** Codes, scales and biases in the layout of MLX. */
  | { readonly kind: "affine"; readonly bits: number; readonly group: number; readonly scales: ScaleName }
  /** Blocks of GGUF files. */
  | { readonly kind: "blocks"; readonly format: BlockName };

/** Dtypes of scales and biases. */
export type ScaleName = Exclude<FloatName, "f64">;

/** Block formats of GGUF that are known. */
export type BlockName = "Q8_0" | "Q4_0" | "Q4_K";

/** Some rows of a weight; of plain numbers and blocks there is `data` alone. */
export interface Rows {
  readonly data: Uint8Array;
  readonly scales?: Uint8Array | undefined;
  readonly biases?: Uint8Array | undefined;
}

/** A tensor of a source: a matrix `[rows, dim]` or a vector `[dim]`, which is one row. */
export interface Weight {
  /** As CoreNet names it, such as `layers.0.attn.qkv_proj.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly encoding: Encoding;
  /** Rows from `start` to before `end`. */
  rows(start: number, end: number): Promise<Rows>;
}

/** Bytes of one number. */
export const FLOAT_SIZE: Readonly<Record<FloatName, number>> = { f64: 8, f32: 4, bf16: 2, f16: 2 };

/** Numbers and bytes of a block. */
export const BLOCKS: Readonly<Record<BlockName, { readonly numbers: number; readonly bytes: number }>> = {
  Q8_0: { numbers: 32, bytes: 34 },
  Q4_0: { numbers: 32, bytes: 18 },
  Q4_K: { numbers: 256, bytes: 144 },
};

export const rowCount = ({ shape }: Pick<Weight, "shape">): number => (shape.length < 2 ? 1 : shape[0]!);

export const rowLength = ({ shape }: Pick<Weight, "shape">): number => shape.at(-1) ?? 1;

export const plain = (dtype: FloatName): Encoding => ({ kind: "plain", dtype });

export const sameEncoding = (a: Encoding, b: Encoding): boolean => label(a) === label(b);

/** An encoding in a word or two. */
export function label(encoding: Encoding): string {
  if (encoding.kind === "plain") return encoding.dtype;
  if (encoding.kind === "blocks") return encoding.format;
  return `${encoding.bits} bits, groups of ${encoding.group}, ${encoding.scales} scales`;
}

/** Bytes of the parts of a row of `dim` numbers. */
export function rowBytes(encoding: Encoding, dim: number): { data: number; scales: number } {
  switch (encoding.kind) {
    case "plain":
      return { data: dim * FLOAT_SIZE[encoding.dtype], scales: 0 };
    case "blocks": {
      const { numbers, bytes } = BLOCKS[encoding.format];
      return { data: (dim / numbers) * bytes, scales: 0 };
    }
    case "affine":
      return {
        data: (dim * encoding.bits) / 8,
        scales: (dim / encoding.group) * FLOAT_SIZE[encoding.scales],
      };
  }
}

/** Bytes of a whole weight, scales and biases included. */
export function byteLength(weight: Pick<Weight, "shape" | "encoding">): number {
  const { data, scales } = rowBytes(weight.encoding, rowLength(weight));
  return rowCount(weight) * (data + 2 * scales);
}

/** Bytes of f32 that are worked on at a time. */
const CHUNK = 8 << 20;

/** Parts of a weight that are small enough to be in memory together with what they become. */
export function* rowRanges(weight: Pick<Weight, "shape">): Iterable<readonly [start: number, end: number]> {
  const rows = rowCount(weight);
  const step = Math.max(1, Math.floor(CHUNK / (4 * rowLength(weight))));
  for (let start = 0; start < rows; start += step) yield [start, Math.min(rows, start + step)];
}

/** Rows `from` to before `to` of a matrix, under another name. */
export function slice(weight: Weight, name: string, from: number, to: number): Weight {
  return {
    name,
    shape: [to - from, rowLength(weight)],
    encoding: weight.encoding,
    rows: (start, end) => weight.rows(from + start, from + end),
  };
}

/** Two matrices of one encoding, one below the other. */
export function concatRows(name: string, first: Weight, second: Weight): Weight {
  const middle = rowCount(first);
  return {
    name,
    shape: [middle + rowCount(second), rowLength(first)],
    encoding: first.encoding,
    async rows(start, end) {
      if (end <= middle) return first.rows(start, end);
      if (start >= middle) return second.rows(start - middle, end - middle);
      return below(await first.rows(start, middle), await second.rows(0, end - middle));
    },
  };
}

/** The same weight with `rows` rows: those beyond are left out, those that are missing are 0. */
export function resizeRows(weight: Weight, rows: number): Weight {
  const known = rowCount(weight);
  if (rows <= known) return slice(weight, weight.name, 0, rows);
  const { data, scales } = rowBytes(weight.encoding, rowLength(weight));
  // Codes of 0 with a scale and a bias of 0 are zeros too, and so are blocks of zeros.
  const zeros = (count: number): Rows => ({
    data: new Uint8Array(count * data),
    scales: scales === 0 ? undefined : new Uint8Array(count * scales),
    biases: scales === 0 ? undefined : new Uint8Array(count * scales),
  });
  return {
    ...weight,
    shape: [rows, rowLength(weight)],
    async rows(start, end) {
      if (end <= known) return weight.rows(start, end);
      if (start >= known) return zeros(end - start);
      return below(await weight.rows(start, known), zeros(end - known));
    },
  };
}

function below(a: Rows, b: Rows): Rows {
  const join = (x: Uint8Array | undefined, y: Uint8Array | undefined): Uint8Array | undefined => {
    if (x === undefined || y === undefined) return undefined;
    const both = new Uint8Array(x.length + y.length);
    both.set(x);
    both.set(y, x.length);
    return both;
  };
  return { data: join(a.data, b.data)!, scales: join(a.scales, b.scales), biases: join(a.biases, b.biases) };
}
