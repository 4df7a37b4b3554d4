// What `npm run check` looks for beyond its tools.

/** Lines that a hand-written file may have. */
export const MAX_LINES = 500;

/**
 * Files that are longer, each with the reason why it is still one thing.
 *
 * @type {Record<string, string>}
 */
export const LONGER = {};

/** Files that nobody writes by hand, or that are data. */
export const GENERATED = [
  /(^|\/)generated\//,
  /(^|\/)generated\.[a-z]+$/,
  /^docs\/(?:ops|performance)\.md$/,
  /^benchmarks\/results\//,
  /(^|\/)config\.schema\.json$/,
  /(^|\/)(package-lock\.json|Cargo\.lock)$/,
  /(^|\/)goldens\//,
  /\.snap$/,
];

/** Code, by its ending: what the bound on lines is about. */
export const CODE = /\.(rs|cu|cuh|h|cc|cpp|ts|tsx|mjs|cjs|js|py|css)$/;

/**
 * What must not stand in the repository: text, and why. `in` and `except` narrow it to files.
 *
 * @type {{ pattern: RegExp, why: string, in?: RegExp, except?: RegExp }[]}
 */
export const FORBIDDEN = [
  {
    pattern: /(?<![\w.])\/(?:home|Users|root|work)\/[\w.-]+/,
    why: "is a path of one machine",
  },
  { pattern: /\.\.\/shared\b/, why: "leaves the repository" },
  { pattern: /"resolved": "https?:/, why: "ties the lock file to one registry", in: /package-lock\.json$/ },
  { pattern: /\b(?:todo|unimplemented)!\s*\(/, why: "is a panic that waits for its user", in: /\.rs$/ },
  { pattern: /\bnot (?:yet )?implemented\b/i, why: "is a stub", in: CODE },
  { pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/, why: "belongs into an issue", in: CODE },
  { pattern: /^(?:<{7}|>{7})(?: |$)/m, why: "is left from a merge" },
  { pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----/, why: "is a secret" },
];

/** Not searched: this list, and its test. */
export const UNSEARCHED = [/^scripts\/check\.config\.mjs$/, /^scripts\/test\/sources\.test\.mjs$/];
