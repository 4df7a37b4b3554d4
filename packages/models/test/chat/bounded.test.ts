//! Templates that would go on for ever, or fill the memory.
import { FormatError } from "@openelm/native";
import { describe, expect, test } from "vitest";
import { ChatTemplate } from "../../src/index.js";

const MESSAGES = [{ role: "user", content: "a b c" }];
const render = (source: string): string => new ChatTemplate(source, { eos: "</s>" }).render(MESSAGES);
const doubled = (start: string, double: string, end: string): string =>
  `{% set ns = namespace(x=${start}) %}{% for i in range(60) %}{% set ns.x = ${double} %}{% endfor %}${end}`;

describe("a template that wants too much is refused", () => {
  test.each([
    ["a loop of a billion", "{% for i in range(1000000000) %}x{% endfor %}"],
    [
      "loops in loops",
      "{% for i in range(3000) %}{% for j in range(3000) %}{% for k in range(3000) %}{% endfor %}{% endfor %}{% endfor %}",
    ],
    ["a text that doubles", doubled("'ab'", "ns.x ~ ns.x", "{{ ns.x }}")],
    ["a list that doubles", doubled("[1]", "ns.x + ns.x", "{{ ns.x | length }}")],
    ["a list that is twice in itself", doubled("[1]", "[ns.x, ns.x]", "{{ ns.x | tojson }}")],
    ["a table that is twice in itself", doubled("{}", "{'a': ns.x, 'b': ns.x}", "{{ ns.x | tojson }}")],
    ["an indentation of a billion", "{{ 'a\\nb' | indent(1000000000) }}"],
    ["an indentation of JSON of a billion", "{{ messages | tojson(indent=1000000000) }}"],
    ["an indentation of a block", "{% filter indent(width=1000000000) %}a\nb{% endfilter %}"],
    [
      "a replacement that multiplies",
      "{% set a = range(60000) | join('aaaaaaaa') %}{{ a.replace('a', a) | length }}",
    ],
    ["a macro that calls itself twice", "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}"],
    [
      "a long way to look something up",
      "{% set l = range(60000) | list %}{% for i in l %}{% for j in l %}{{ 'x' in l }}{% endfor %}{% endfor %}",
    ],
  ])("%s", (_, source) => {
    const start = process.cpuUsage();
    expect(() => render(source)).toThrow(FormatError);
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1e6).toBeLessThan(5);
  });

  test("a source that is longer than any template", () => {
    expect(() => new ChatTemplate("{#".repeat(1 << 17))).toThrow(/characters, more than 131072/);
  });
});

describe("what templates do", () => {
  test.each([
    [
      "{{ range(3) | list }}{{ range(1, 6, 2) | list | join('-') }}{{ range(3, 0, -1) | list | length }}",
      "[0, 1, 2]1-3-53",
    ],
    ["{{ 'a\\nb' | indent(2) }}", "a\n  b"],
    ["{{ messages[0] | tojson }}", '{"role": "user", "content": "a b c"}'],
    ["{{ messages[0].content.replace(' ', '').replace('c', 'd') | replace('a', 'x') }}", "xbd"],
    ["{{ ['a', 'b'] | join(', ') }}{{ true }}{{ None is none }}", "a, btruetrue"],
    // The inner call runs the same expression before the outer one does.
    [
      "{% macro f(x) %}{{ x.replace('a', f(x[1:]) if x | length > 1 else 'z') }}{% endmacro %}{{ f('aab') }}",
      // f('b') is 'b', f('ab') is 'bb', f('aab') is 'bb' + 'bb' + 'b'.
      "bbbbb",
    ],
  ])("%s stays as it was", (source, wanted) => {
    expect(render(source)).toBe(wanted);
  });

  test("the year is this one", () => {
    expect(render("{{ strftime_now('%Y-%m %%') }}")).toMatch(/^20\d\d-(0\d|1[0-2]) %$/);
  });

  test("what a template may cost grows with the conversation", () => {
    const template = new ChatTemplate(
      "{% for i in range(3000) %}{% for j in range(30) %}{% endfor %}{% endfor %}",
      { eos: "</s>" },
    );
    expect(() => template.render(MESSAGES)).toThrow(/more steps than a conversation needs/);
    expect(template.render(Array(2000).fill(MESSAGES[0]))).toBe("");
  });

  test("long conversations are no limit", () => {
    const template = ChatTemplate.instruct({ eos: "</s>" });
    const messages = Array.from({ length: 400 }, (_, i) => ({
      role: i % 2 === 0 ? "user" : "assistant",
      content: "word ".repeat(2000),
    }));
    expect(template.render(messages).length).toBeGreaterThan(4_000_000);
  });
});
