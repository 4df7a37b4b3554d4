import { expect, test } from "vitest";
import { entryOf, wordnetText } from "../src/quickstart/wordnet.js";

test("WordNet is 117,791 entries of one line each, 12.4 MB", async () => {
  const { text, entries, notice } = await wordnetText();
  expect(entries).toBe(117_791);
  expect(Buffer.byteLength(text)).toBe(12_448_843);
  expect(text.split("\n")).toHaveLength(entries + 1);
  expect(text).toContain("\ngreengrocer (noun): a grocer who sells fresh fruits and vegetables\n");
  expect(text).toContain(
    '\njazz up, juice up, pep up, ginger up (verb): make more interesting or lively; "juice up a party"; "pep up your paper"\n',
  );
  expect(notice).toMatch(/^This software and database is being provided to you.*Princeton University/s);
});

test("an entry's words lose their underscores and markers", () => {
  const line =
    '00013662 00 s 02 galore(ip) 0 in_plenty 0 001 & 00013160 a 0000 | existing in abundance; "apples galore"  ';
  expect(entryOf(line)).toBe('galore, in plenty (adjective): existing in abundance; "apples galore"');
  expect(entryOf("  1 This software and database is being provided to you | by")).toBeUndefined();
});
