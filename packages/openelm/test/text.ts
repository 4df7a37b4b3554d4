/** Simple English of some 40 kB, always the same, in paragraphs. */
export function simpleText(paragraphs = 150): string {
  const pick = (i: number, words: readonly string[]): string =>
    words[(i * 7919 + (i >> 3) * 104729) % words.length]!;
  const who = [
    "The cat",
    "A small dog",
    "My brother",
    "The old woman",
    "A bird",
    "The teacher",
    "Nobody",
    "The farmer",
  ];
  const does = ["sees", "likes", "finds", "remembers", "follows", "draws", "hears"];
  const what = ["the river", "a red house", "the moon", "an apple tree", "the long road", "a quiet song"];
  const when = ["in the morning", "every day", "at night", "when it rains", "after the summer"];
  const sentence = (i: number): string =>
    `${pick(i, who)} ${pick(i + 1, does)} ${pick(i + 2, what)} ${pick(i + 3, when)}.`;
  return Array.from({ length: paragraphs }, (_, p) =>
    Array.from({ length: 6 }, (_, s) => sentence(6 * p + s)).join(" "),
  ).join("\n\n");
}
