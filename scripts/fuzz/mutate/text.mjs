// Changes of templates and of YAML: parts that are missing, twice, elsewhere, or such as nobody writes.
import { mutateBytes } from "./bytes.mjs";
import { perSample } from "./per-sample.mjs";

/** @typedef {import("../random.mjs").Random} Random */

/**
 * How a language is written, and parts that a text in it may have.
 *
 * @typedef {{ words: RegExp, signs: readonly string[], parts: readonly string[] }} Language
 */

const WORDS = /\{%-?|-?%\}|\{\{-?|-?\}\}|\{#|#\}|\w+|\s+|'[^']*'|"[^"]*"|./gsu;

/** Parts that a template may have, with those at which work and memory could grow without an end. */
const PARTS = [
  "{% for i in range(1000000000) %}x{% endfor %}",
  "{% for i in range(3000) %}{% for j in range(3000) %}{% for k in range(3000) %}{% endfor %}{% endfor %}{% endfor %}",
  "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
  "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | length }}",
  "{{ 'a\\nb' | indent(1000000000) }}",
  "{{ messages | tojson(indent=1000000000) }}",
  "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
  "{{ ('a' ~ messages[0].content).replace('', 'abcdefgh') }}",
  "{{ range(1e12) | list | join('x') }}",
  "{{ messages | map(attribute='role') | join(', ') }}",
  "{{ 2 ** 100000 }}",
  "{{ raise_exception('no') }}",
  "{% if a is defined %}{% else %}{% endif %}",
  "{% endfor %}",
  "{% raw %}",
  "{{",
  "{#",
  "{%",
  "(".repeat(300),
  "[".repeat(5000),
  "not ".repeat(3000),
  "a.".repeat(2000),
  "{% if a %}".repeat(500),
  "{{ messages.__proto__.constructor('x') }}",
  "{{ messages.constructor }}",
  "{{ messages[0]['toString'] }}",
  "loop.index0",
  "message['content']",
  "[::-1]",
  "| trim",
  "\u0000",
  "\ud800",
];

/** @type {Language} */
const TEMPLATE = {
  words: WORDS,
  signs: ["(", ")", "[", "]", "{{", "}}", "{%", "%}", "|", ".", ",", "'", "-", "in", "set", "if"],
  parts: PARTS,
};

/** @type {Language} */
const YAML = {
  words: /\n *|[\w.+-]+|\s|'[^'\n]*'|"[^"\n]*"|./gsu,
  signs: [
    "[",
    "]",
    "{",
    "}",
    ":",
    ": ",
    "- ",
    ",",
    "&a ",
    "*a",
    "*width",
    "!",
    "|",
    ">",
    "?",
    "#",
    "%",
    "@",
    "'",
    '"',
    "\n",
    "  ",
  ],
  parts: [
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\ne: &e [*d, *d]\nf: &f [*e, *e]\ng: &g [*f, *f]\nh: [*g, *g]\n",
    "<<: *width\n",
    "&a [*a]",
    "\n? [1, 2]\n: 3\n",
    "!!binary aGVsbG8=",
    "!!set {a}",
    "!!omap [a: 1]",
    "!!timestamp 2001-12-14",
    "!!js/function 'x'",
    "\n---\n",
    "\n...\n",
    "%YAML 1.1\n---\n",
    "%TAG ! tag:x,2000:\n---\n",
    "__proto__: { a: 1 }\n",
    "constructor: 1\n",
    "[".repeat(300),
    "[".repeat(20_000),
    "- ".repeat(3000),
    "a: ".repeat(500),
    "{a: ".repeat(5000),
    "? ".repeat(3000),
    "\n\tx: 1",
    "0x1F",
    "0o17",
    "1_000",
    ".inf",
    "-.INF",
    ".nan",
    "1e999",
    "123456789012345678901234567890",
    "null",
    "~",
    "yes",
    "|2-\n  a\n",
    ">+\n  a\n\n",
    "x".repeat(5000),
    "\u0000",
    "\ufeff",
  ],
};

const wordsIn = perSample(
  (sample, /** @type {Language} */ language) =>
    Buffer.from(sample).toString("utf8").match(language.words) ?? [],
);

/** @param {Random} random @param {Uint8Array} original */
export const mutateTemplate = (random, original) => mutateText(random, original, TEMPLATE);

/** @param {Random} random @param {Uint8Array} original */
export const mutateYaml = (random, original) => mutateText(random, original, YAML);

/** @param {Random} random @param {Uint8Array} original @param {Language} language @returns {Uint8Array} */
function mutateText(random, original, language) {
  if (random.once(10)) return mutateBytes(random, original);
  /** @type {string[]} */
  const list = [...wordsIn(original, language)];
  for (let left = random.few(6); left > 0; left--) {
    const i = random.below(list.length + 1);
    switch (random.below(6)) {
      case 0:
        list.splice(i, 1 + random.below(3));
        break;
      case 1:
        list.splice(i, 0, ...list.slice(i, i + random.below(12)));
        break;
      case 2:
        list.splice(i, 1, list[random.below(list.length)] ?? "");
        break;
      case 3:
        list.splice(i, 0, random.pick(language.signs));
        break;
      case 4:
        list.splice(i, 0, String(random.pick([0, -1, 1e9, 1.5, 2 ** 53])));
        break;
      default:
        list.splice(i, 0, random.pick(language.parts));
    }
  }
  return new Uint8Array(Buffer.from(list.join("")));
}
