/** The benchmarks that `names` ask for, each by its own name or by a folder's, in the order of `all`. */
export function select(
  all: readonly string[],
  names: readonly string[],
): { chosen: string[]; unknown: string[] } {
  const matches = (name: string, asked: string): boolean => name === asked || name.startsWith(`${asked}/`);
  return {
    chosen: all.filter((name) => names.some((asked) => matches(name, asked))),
    unknown: names.filter((asked) => !all.some((name) => matches(name, asked))),
  };
}
