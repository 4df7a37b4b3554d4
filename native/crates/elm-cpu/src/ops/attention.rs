use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::element::{Float, Real};
use crate::flash::{KEYS, Problem, QUERIES, QueryBlock, lanes, mask_bytes, widen};
use crate::scratch::{self, aligned};
use crate::small_product::{Heads, Strided, multiply};
use crate::view::{CallExt, Ptr, Rows};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[Kernel::new("attention", run)
    .strided()
    .with_cost(cost)
    .with_workspace(|inputs, _, _| mask_bytes(inputs, 3))];

/// Two products of about 20 multiply-adds a nanosecond on one core.
fn cost(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> u64 {
    let (Some(q), Some(k)) = (&inputs[0], &inputs[1]) else { return 0 };
    (q.elements() * k.shape()[2] / 10) as u64
}

fn run(call: &KernelCall) -> Result<(), KernelError> {
    let problem = Problem::new(call, 0, 3)?;
    with_float!(call.input(0).dtype, T => forward::<T>(call, &problem));
    Ok(())
}

/// One task a block of queries; those of one kv head are handled as one long list of rows.
fn forward<T: Float>(call: &KernelCall, problem: &Problem) {
    let (dim, group) = (problem.dim, problem.group());
    let total = group * problem.queries;
    if total == 0 {
        return;
    }
    let [q, k, v] = [0, 1, 2].map(|i| Heads::<T>::of(call.input(i)));
    let y = Rows::<T>::new(call.output(0));
    let lse = call.optional_output(1).map(Rows::<T::Acc>::new);
    let blocks = total.div_ceil(QUERIES);
    let sizes = [QUERIES * dim, QUERIES * KEYS, QUERIES * dim, KEYS * dim, QUERIES * dim].map(aligned);
    call.pool().run(problem.batch * problem.kv_heads * blocks, |task| {
        let (row, block) = (task / blocks, task % blocks);
        let (b, kv_head) = (row / problem.kv_heads, row % problem.kv_heads);
        // The last block sees the most keys: first come the long tasks.
        let block = QueryBlock::new(problem, b, (blocks - 1 - block) * QUERIES, total);
        scratch::with::<T::Acc, _>(sizes.iter().sum(), |buffer| {
            let (turned, buffer) = buffer.split_at_mut(sizes[0]);
            let (scores, buffer) = buffer.split_at_mut(sizes[1]);
            let (sums, buffer) = buffer.split_at_mut(sizes[2]);
            let (wide, wide_q) = buffer.split_at_mut(sizes[3]);
            let turned = &mut turned[..block.width * dim];
            let rows = block.load(q, b, kv_head * group, wide_q);
            block.transpose(rows, T::Acc::real(problem.scale), turned);
            let turned = Strided::dense(Ptr::of(turned), block.width);
            let mut softmax = Softmax::new(block.width);
            let out = Strided::dense(Ptr::of(sums), dim);
            let mut fresh = true;
            for keys in block.key_blocks(problem, b) {
                let scores = &mut scores[..keys.len * block.width];
                let left = widen(k.matrix(b, kv_head).at_row(keys.start), keys.len, dim, wide);
                let target = Strided::dense(Ptr::of(scores), block.width);
                // SAFETY: the block of keys lies in `k`; the other two are parts of this thread's buffer.
                unsafe { multiply([keys.len, block.width, dim], left, turned, target, false) };
                block.mask(problem, b, keys, scores, -T::Acc::INFINITY);
                let shrink = softmax.weigh(scores);
                if !fresh {
                    rescale(&mut sums[..block.rows * dim], dim, &shrink);
                }
                let right = widen(v.matrix(b, kv_head).at_row(keys.start), keys.len, dim, wide);
                // SAFETY: as above, for `v`.
                unsafe {
                    multiply([block.rows, dim, keys.len], target.transposed(), right, out, !fresh);
                }
                fresh = false;
            }
            if fresh {
                sums.fill(T::Acc::ZERO);
            }
            let first = row * total + block.first;
            // SAFETY: every row belongs to one task.
            let y = unsafe { y.part(first * dim, block.rows * dim) };
            for (i, (y, sums)) in y.chunks_exact_mut(dim).zip(sums.chunks_exact(dim)).enumerate() {
                let factor = softmax.reciprocal(i);
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = T::store(*sum * factor));
            }
            if let Some(lse) = &lse {
                // SAFETY: as above.
                let lse = unsafe { lse.part(first, block.rows) };
                lse.iter_mut().enumerate().for_each(|(i, lse)| *lse = softmax.log_sum(i));
            }
        });
    });
}

fn rescale<R: Real>(sums: &mut [R], dim: usize, shrink: &[R; QUERIES]) {
    for (sums, &shrink) in sums.chunks_exact_mut(dim).zip(shrink) {
        if shrink != R::ONE {
            sums.iter_mut().for_each(|sum| *sum = *sum * shrink);
        }
    }
}

/// Running maximum and sum of each query over blocks of keys (Milakov and Gimelshein, 2018, arXiv:1805.02867).
struct Softmax<R> {
    width: usize,
    max: [R; QUERIES],
    sum: [R; QUERIES],
}

impl<R: Real> Softmax<R> {
    fn new(width: usize) -> Softmax<R> {
        Softmax { width, max: [-R::INFINITY; QUERIES], sum: [R::ZERO; QUERIES] }
    }

    /// Replaces scores by weights relative to the maximum so far; returns by what older sums shrink.
    fn weigh(&mut self, scores: &mut [R]) -> [R; QUERIES] {
        let before = self.max;
        lanes(scores, |score, i| self.max[i] = (*score).max(self.max[i]));
        self.fold(|softmax, i, from| softmax.max[i] = softmax.max[from].max(softmax.max[i]));
        let max = std::array::from_fn(|i| self.max[i % self.width]);
        self.max = max;
        // A query that has seen nothing yet has the maximum -∞, and -∞ - -∞ is no number.
        let reference = max.map(|max| if max == -R::INFINITY { R::ZERO } else { max });
        let mut shrink = [R::ZERO; QUERIES];
        for i in 0..QUERIES {
            shrink[i] = (before[i] - reference[i]).exp();
        }
        let mut fresh = [R::ZERO; QUERIES];
        lanes(scores, |score, i| {
            *score = (*score - reference[i]).exp();
            fresh[i] += *score;
        });
        for i in self.width..QUERIES {
            fresh[i % self.width] += fresh[i];
        }
        for i in 0..self.width {
            self.sum[i] = self.sum[i].mul_add(shrink[i], fresh[i]);
        }
        shrink
    }

    fn fold(&mut self, join: impl Fn(&mut Self, usize, usize)) {
        (self.width..QUERIES).for_each(|i| join(self, i % self.width, i));
    }

    fn reciprocal(&self, i: usize) -> R {
        if self.sum[i] == R::ZERO { R::ZERO } else { R::ONE / self.sum[i] }
    }

    /// -∞ for a query that sees nothing.
    fn log_sum(&self, i: usize) -> R {
        self.max[i] + self.sum[i].ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights of one query that add up to 1, whatever the blocks that its keys came in.
    #[test]
    fn blocks_of_scores_are_weighed_as_one() {
        for width in [4, 16, 64] {
            let score = |key: usize, column: usize| ((key * 7 + column * 3) % 23) as f64 - 11.0;
            let mut softmax = Softmax::<f64>::new(width);
            let mut sums = vec![0.0; width];
            let sizes = [128usize, 1, 77];
            for (block, &size) in sizes.iter().enumerate() {
                let start: usize = sizes[..block].iter().sum();
                let mut scores: Vec<f64> =
                    (0..size * width).map(|i| score(start + i / width, i % width)).collect();
                let shrink = softmax.weigh(&mut scores);
                for (column, sum) in sums.iter_mut().enumerate() {
                    let fresh: f64 = scores.iter().skip(column).step_by(width).sum();
                    *sum = *sum * shrink[column] + fresh;
                }
            }
            for (column, sum) in sums.iter().enumerate() {
                let exact: f64 = (0..206).map(|key| score(key, column).exp()).sum();
                assert!((sum * softmax.reciprocal(column) - 1.0).abs() < 1e-12, "width {width}");
                assert!((softmax.log_sum(column) - exact.ln()).abs() < 1e-12, "width {width}");
            }
        }
    }

    #[test]
    fn a_query_that_sees_nothing_weighs_nothing() {
        let mut softmax = Softmax::<f32>::new(4);
        let mut scores = [f32::NEG_INFINITY; 8];
        softmax.weigh(&mut scores);
        assert_eq!(scores, [0.0; 8]);
        assert_eq!((softmax.reciprocal(0), softmax.log_sum(0)), (0.0, f32::NEG_INFINITY));
    }
}
