//! Sizes of the published models, layer by layer, and their parameters by vocabulary.
import type { OpenELMSize } from "../src/index.js";

export interface Table {
  readonly queryHeads: readonly number[];
  readonly kvHeads: readonly number[];
  readonly feedForwardDim: readonly number[];
  /** Parameters for vocabularies of 32000, 32001 and 32128 tokens. */
  readonly parameters: Readonly<Record<32000 | 32001 | 32128, number>>;
  /** Elements of keys and values that a cache holds for a token. */
  readonly cacheElements: number;
}

export const TABLES: Readonly<Record<Extract<OpenELMSize, `OpenELM-${string}`>, Table>> = {
  "OpenELM-270M": {
    queryHeads: [12, 12, 12, 12, 12, 16, 16, 16, 16, 16, 16, 16, 20, 20, 20, 20],
    kvHeads: [3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5],
    feedForwardDim: [
      768, 1024, 1280, 1536, 1792, 2048, 2560, 2816, 3072, 3328, 3584, 3840, 4352, 4608, 4864, 5120,
    ],
    parameters: { 32000: 271527168, 32001: 271528448, 32128: 271691008 },
    cacheElements: 8064,
  },
  "OpenELM-450M": {
    queryHeads: [12, 12, 12, 16, 16, 16, 16, 16, 16, 16, 20, 20, 20, 20, 20, 20, 24, 24, 24, 24],
    kvHeads: [3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6],
    feedForwardDim: [
      768, 1024, 1280, 1536, 1792, 2304, 2560, 2816, 3072, 3328, 3584, 3840, 4096, 4352, 4608, 5120, 5376,
      5632, 5888, 6144,
    ],
    parameters: { 32000: 457179136, 32001: 457180672, 32128: 457375744 },
    cacheElements: 11648,
  },
  "OpenELM-1_1B": {
    queryHeads: [
      16, 16, 16, 20, 20, 20, 20, 20, 20, 20, 24, 24, 24, 24, 24, 24, 24, 24, 28, 28, 28, 28, 28, 28, 32, 32,
      32, 32,
    ],
    kvHeads: [4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8],
    feedForwardDim: [
      1024, 1280, 1536, 1792, 2048, 2304, 2560, 2816, 3072, 3328, 3584, 3840, 4096, 4608, 4608, 5120, 5376,
      5632, 5888, 6144, 6400, 6656, 6912, 7168, 7424, 7680, 7936, 8192,
    ],
    parameters: { 32000: 1079891456, 32001: 1079893504, 32128: 1080153600 },
    cacheElements: 21632,
  },
  "OpenELM-3B": {
    queryHeads: [
      12, 12, 12, 12, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 20, 20, 20, 20, 20, 20, 20, 20,
      20, 20, 20, 20, 24, 24, 24, 24, 24, 24,
    ],
    kvHeads: [
      3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6,
      6,
    ],
    feedForwardDim: [
      1536, 1792, 2048, 2560, 2816, 3072, 3328, 3584, 4096, 4352, 4608, 4864, 5120, 5632, 5888, 6144, 6400,
      6656, 7168, 7424, 7680, 7936, 8192, 8704, 8960, 9216, 9472, 9728, 10240, 10496, 10752, 11008, 11264,
      11776, 12032, 12288,
    ],
    parameters: { 32000: 3036647424, 32001: 3036650496, 32128: 3037040640 },
    cacheElements: 41984,
  },
};
