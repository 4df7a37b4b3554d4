/** Attributes of both forms of the loss. */
const LOSS = { ignoreIndex: -100, zLoss: 0, zLossMode: "valid", labelSmoothing: 0 } as const;

export const LOSSES = [
  LOSS,
  { ...LOSS, zLoss: 1e-2 },
  { ...LOSS, ignoreIndex: 2, zLoss: 1e-2, labelSmoothing: 0.1 },
  { ...LOSS, ignoreIndex: 1, zLoss: 1e-2, zLossMode: "corenet" },
] as const;
