/** How many tokens two texts have in common at the beginning, at most `most`. */
export function commonPrefix(a: readonly number[], b: readonly number[], most: number): number {
  let same = 0;
  while (same < most && same < a.length && a[same] === b[same]) same++;
  return same;
}
