import { argmin, concat, Generator, normal, permutation, scope, stack, type Tensor } from "@openelm/tensor";

/** `points` around each center, `[centers · points, dim]`. */
export function blobs(centers: Tensor, points: number, spread: number, generator: Generator): Tensor {
  const [count, dim] = centers.shape as [number, number];
  return scope(() => {
    const noise = normal([count, points, dim], { std: spread, generator });
    return centers
      .expandDims(1)
      .add(noise)
      .reshape([count * points, dim]);
  });
}

export interface Clusters {
  /** `[clusters, dim]`. */
  readonly centers: Tensor;
  /** Mean squared distance to the nearest center, after each round. */
  readonly errors: number[];
}

/**
 * Finds centers such that points are near to them, by Lloyd's algorithm.
 *
 * Each round assigns every point to its nearest center and moves the centers to the means of their points.
 */
export async function kMeans(
  points: Tensor,
  clusters: number,
  { rounds = 20, generator = new Generator(0) } = {},
): Promise<Clusters> {
  let centers = farApart(points, clusters, generator);
  const errors: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // What a round makes is freed at its end, but for what it returns.
    const next = scope(() => {
      const distances = squaredDistances(points, centers);
      const nearest = argmin(distances, { axis: 1 });
      const error = distances.min({ axis: 1 }).mean();
      const means = Array.from({ length: clusters }, (_, k) => {
        const mine = nearest.eq(k).to("f32").expandDims(1);
        const count = mine.sum().maximum(1);
        return points.mul(mine).sum({ axis: 0 }).div(count);
      });
      return { centers: stack(means), error };
    });
    centers.dispose();
    centers = next.centers;
    errors.push(await next.error.item());
    next.error.dispose();
  }
  return { centers, errors };
}

/** `‖x‖² − 2 x·c + ‖c‖²` for all pairs, `[points, centers]`. */
function squaredDistances(points: Tensor, centers: Tensor): Tensor {
  const squares = points.mul(points).sum({ axis: 1, keepDims: true });
  const centerSquares = centers.mul(centers).sum({ axis: 1 });
  return squares.sub(points.matmul(centers.permute([1, 0])).mul(2)).add(centerSquares);
}

/** Starts with a random point, then takes the point that is farthest from those taken. */
function farApart(points: Tensor, clusters: number, generator: Generator): Tensor {
  return scope(() => {
    const first = permutation(points.shape[0]!, { generator }).at("0:1") as Tensor;
    let chosen = points.take(first, { axis: 0 });
    while (chosen.shape[0]! < clusters) {
      const farthest = squaredDistances(points, chosen).min({ axis: 1 }).argmax({ axis: 0, keepDims: true });
      chosen = concat([chosen, points.take(farthest, { axis: 0 })], { axis: 0 });
    }
    return chosen;
  });
}
