/** Says which tokens may come next, token by token. It serves one generation. */
export interface Constraint {
  /** A 1 for each token of the vocabulary that may come next, else a 0. */
  allowed(): Promise<Uint8Array>;
  /** Goes on by a token that was made. */
  accept(id: number): void;
}
