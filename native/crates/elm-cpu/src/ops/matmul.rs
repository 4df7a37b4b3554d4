use elm_core::{Attrs, DType, Kernel, KernelCall, KernelError, Layout, View, bf16, elements, f16};
use smallvec::SmallVec;

use crate::element::Float;
use crate::nd::Walk;
use crate::product::{self, Factor, Matrix};
use crate::scratch;
use crate::simd::Slices;
use crate::skinny::{Lies, MAX_ROWS, Out, RowsOf, Skinny};

use crate::view::{CallExt, Ptr, ptr};

pub static KERNELS: &[Kernel] =
    &[Kernel::new("matmul", run).strided().with_cost(cost).with_workspace(workspace)];

/// On one core about 20 multiply-adds a nanosecond, or 8 where the right matrix comes from memory for a few rows.
fn cost(inputs: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> u64 {
    let inner = inputs[0].as_ref().and_then(|x| x.shape().last().copied()).unwrap_or(1);
    let (out, size) = outputs[0].as_ref().map_or((0, 0), |y| (y.elements(), y.shape()[y.shape().len() - 2]));
    (out * inner / if size <= MAX_ROWS { 8 } else { 20 }) as u64
}

fn run(call: &KernelCall) -> Result<(), KernelError> {
    let half_out = call.output(0).dtype.size() == 2;
    match call.input(0).dtype {
        DType::F32 => matmul::<f32, f32>(call),
        DType::F64 => matmul::<f64, f64>(call),
        DType::BF16 if half_out => matmul::<bf16, bf16>(call),
        DType::BF16 => matmul::<bf16, f32>(call),
        DType::F16 if half_out => matmul::<f16, f16>(call),
        DType::F16 => matmul::<f16, f32>(call),
        other => unreachable!("signatures admit no {other} here"),
    }
    Ok(())
}

/// A batch of products of one size: strides of the matrices and where each starts.
struct Batch {
    size: [usize; 3],
    a: SmallVec<[isize; 8]>,
    b: SmallVec<[isize; 8]>,
    a_strides: [isize; 2],
    b_strides: [isize; 2],
}

impl Batch {
    fn of(a: &Layout, b: &Layout, y: &[usize]) -> Batch {
        if is_one_matrix(b)
            && let Some(merged) = a.reshape(&[elements(&y[..y.len() - 1]), a.shape[a.rank() - 1]])
        {
            let b_strides = last_two(&b.strides);
            let [m, k] = [merged.shape[0], merged.shape[1]];
            let starts = || SmallVec::from_elem(0, 1);
            let a_strides = last_two(&merged.strides);
            return Batch { size: [m, y[y.len() - 1], k], a: starts(), b: starts(), a_strides, b_strides };
        }
        let (lead, [m, n]) = (&y[..y.len() - 2], [y[y.len() - 2], y[y.len() - 1]]);
        Batch {
            size: [m, n, a.shape[a.rank() - 1]],
            a: batch_starts(lead, a),
            b: batch_starts(lead, b),
            a_strides: last_two(&a.strides),
            b_strides: last_two(&b.strides),
        }
    }
}

/// Whether all leading axes are 1: then the rows of all matrices of `a` meet the same `b`.
fn is_one_matrix(b: &Layout) -> bool {
    b.shape[..b.rank() - 2].iter().all(|&dim| dim == 1)
}

fn last_two(strides: &[isize]) -> [isize; 2] {
    [strides[strides.len() - 2], strides[strides.len() - 1]]
}

/// Where each matrix of the broadcast batch starts.
fn batch_starts(batch: &[usize], layout: &Layout) -> SmallVec<[isize; 8]> {
    let own = &layout.shape[..layout.rank() - 2];
    let lead = batch.len() - own.len();
    let mut starts: SmallVec<[isize; 8]> = SmallVec::from_elem(0, 1);
    for (axis, &dim) in batch.iter().enumerate() {
        let step = if axis < lead || own[axis - lead] == 1 { 0 } else { layout.strides[axis - lead] };
        starts = starts.iter().flat_map(|&s| (0..dim as isize).map(move |i| s + i * step)).collect();
    }
    starts
}

/// What is copied to f32 (f64) rows before a product of few rows.
struct Skinniness {
    few_rows: bool,
    copies_a: bool,
    copies_b: bool,
    lies: Lies,
}

impl Skinniness {
    /// Whether there are few rows depends on the shapes alone, so that views and copies give the same bits.
    fn of(a: &View, b: &View, y: &[usize]) -> Skinniness {
        let one = is_one_matrix(&b.layout);
        let rows = if one { elements(&y[..y.len() - 1]) } else { y[y.len() - 2] };
        let k = a.shape()[a.shape().len() - 1];
        let [down, across] = last_two(&b.layout.strides);
        let b_lies = if down == 1 || k <= 1 {
            Some(Lies::Transposed)
        } else {
            (across == 1 || y[y.len() - 1] == 1).then_some(Lies::RowMajor)
        };
        let is_straight = last_two(&a.layout.strides)[1] == 1 || k <= 1;
        let merges = !one || a.layout.reshape(&[elements(&y[..y.len() - 1]), k]).is_some();
        Skinniness {
            few_rows: rows <= MAX_ROWS,
            copies_a: a.dtype.size() == 2 || !is_straight || !merges,
            copies_b: b_lies.is_none(),
            lies: b_lies.unwrap_or(Lies::RowMajor),
        }
    }
}

/// Few rows: `a` in its accumulator, and `b` where neither of its axes is straight.
fn workspace(inputs: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> usize {
    let (Some(a), Some(b), Some(y)) = (&inputs[0], &inputs[1], &outputs[0]) else { return 0 };
    let plan = Skinniness::of(a, b, y.shape());
    if !plan.few_rows {
        return 0;
    }
    let [of_a, of_b] = [(plan.copies_a, a), (plan.copies_b, b)].map(|(copied, view)| {
        let bytes = view.elements() * a.dtype.accumulator().size();
        if copied { bytes } else { 0 }
    });
    of_a + of_b
}

fn matmul<T, Y>(call: &KernelCall)
where
    T: Factor<Acc: Skinny<Acc = T::Acc>> + Skinny,
    Y: Factor<Acc = T::Acc> + Slices,
{
    let (a, b, y) = (call.input(0), call.input(1), call.output(0));
    let plan = Skinniness::of(a, b, y.shape());
    if y.elements() == 0 {
        return;
    }
    if !plan.few_rows {
        return many_rows::<T, Y>(call);
    }
    let room = if plan.copies_a { a.elements() } else { 0 };
    let (mut a_layout, mut a_start) = (a.layout.clone(), ptr::<T>(a).cast::<T::Acc>());
    if plan.copies_a {
        a_layout = Layout::contiguous(a.shape());
        a_start = widened::<T>(call, a, call.scratch(0, a.elements()));
    }
    if plan.copies_b {
        let dense = Layout::contiguous(b.shape());
        let start = widened::<T>(call, b, call.scratch(room, b.elements()));
        few_rows::<T::Acc, Y>(call, plan.lies, [&a_layout, &dense], a_start, start);
    } else {
        few_rows::<T, Y>(call, plan.lies, [&a_layout, &b.layout], a_start, ptr::<T>(b));
    }
}

/// A row-major copy in the accumulator.
fn widened<T: Float>(call: &KernelCall, from: &View, to: &mut [T::Acc]) -> Ptr<T::Acc> {
    let dense = Layout::contiguous(from.shape());
    let walk = Walk::new([&dense, &from.layout]);
    let (source, target) = (ptr::<T>(from), Ptr::of(to));
    let [down, step] = walk.steps;
    walk.run(call.pool(), |[at, start], len| {
        for i in 0..len as isize {
            // SAFETY: the walk stays inside both and visits each target element once.
            unsafe { target.write(at + i * down, source.read(start + i * step).load()) };
        }
    });
    target
}

/// Large matrices are shared out one after the other, small ones go whole to one task each.
fn many_rows<T, Y>(call: &KernelCall)
where
    T: Factor,
    Y: Factor<Acc = T::Acc>,
{
    let (a, b, y) = (call.input(0), call.input(1), call.output(0));
    let batch = Batch::of(&a.layout, &b.layout, y.shape());
    let [m, n, k] = batch.size;
    let (a, b, y) = (ptr::<T>(a), ptr::<T>(b), ptr::<Y>(y));
    let matrices = |index: usize| {
        let matrix =
            |start: Ptr<T>, [rows, columns]: [isize; 2]| Matrix { start: start.raw(), rows, columns };
        (
            matrix(a.moved(batch.a[index]), batch.a_strides),
            matrix(b.moved(batch.b[index]), batch.b_strides),
            Matrix::row_major(y.at(index * m * n).raw(), n),
        )
    };
    let count = batch.a.len();
    if m * n * k >= LARGE_WORK || count == 1 {
        for index in 0..count {
            let (left, right, out) = matrices(index);
            // SAFETY: the views lie inside their storages, and every matrix of `y` belongs to one product.
            unsafe { product::multiply(call.pool(), batch.size, left, right, out, false) };
        }
    } else {
        call.pool().run_ranges(count, SMALLEST_WORK / (m * n * k).max(1), |tasks| {
            for index in tasks {
                let (left, right, out) = matrices(index);
                // SAFETY: as above.
                unsafe { product::multiply_alone(batch.size, left, right, out) };
            }
        });
    }
}

/// Multiply-adds of one matrix of a batch that all threads share.
const LARGE_WORK: usize = 16 << 20;
/// Multiply-adds that are worth a task.
const SMALLEST_WORK: usize = 128 * 1024;
/// Elements of the right matrix that one task streams.
const STREAMED: usize = 128 * 1024;

/// `a` is in its accumulator with straight rows; one of the axes of `b` is straight, as `lies` says.
fn few_rows<B, Y>(call: &KernelCall, lies: Lies, layouts: [&Layout; 2], a: Ptr<B::Acc>, b: Ptr<B>)
where
    B: Skinny,
    Y: Slices<Acc = B::Acc>,
{
    let y = call.output(0);
    let batch = Batch::of(layouts[0], layouts[1], y.shape());
    let [m, n, k] = batch.size;
    let y = ptr::<Y>(y);
    let columns = block_of_columns(lies, batch.size);
    let blocks = n.div_ceil(columns);
    let stride = if lies == Lies::Transposed { batch.b_strides[1] } else { batch.b_strides[0] };
    let rounds = Y::DTYPE.size() == 2;
    // Rows of a wide output may fall on the same lines of the cache; their sums are kept together then.
    let together = rounds || (lies == Lies::RowMajor && m > 1);
    let grain = SMALLEST_WORK / (m * columns * k).max(1);
    call.pool().run_ranges(batch.a.len() * blocks, grain, |tasks| {
        for task in tasks {
            let (matrix, column) = (task / blocks, task % blocks * columns);
            let columns = columns.min(n - column);
            let a = RowsOf { start: a.moved(batch.a[matrix]).raw().cast_const(), stride: batch.a_strides[0] };
            let skip = if lies == Lies::Transposed { column as isize * stride } else { column as isize };
            let b = RowsOf { start: b.moved(batch.b[matrix] + skip).raw().cast_const(), stride };
            let out = y.at(matrix * m * n + column);
            // SAFETY: blocks of `y` are disjoint, the views lie inside their storages, and where `Y` is not rounded
            // it is the accumulator.
            unsafe {
                if together {
                    scratch::with(m * columns, |wide: &mut [B::Acc]| {
                        let target = Out { start: wide.as_mut_ptr(), stride: columns };
                        B::multiply(lies, [m, columns, k], a, b, target);
                        for (row, wide) in wide.chunks_exact(columns).enumerate() {
                            Y::narrow(wide, out.slice_mut(row * n, columns));
                        }
                    });
                } else {
                    let target = Out { start: out.cast().raw(), stride: n };
                    B::multiply(lies, [m, columns, k], a, b, target);
                }
            }
        }
    });
}

/// Columns that one task computes, by shape alone. Row-major blocks stay wide enough to read memory in long runs and
/// narrow enough for their sums to stay in the first cache.
fn block_of_columns(lies: Lies, [m, n, k]: [usize; 3]) -> usize {
    if m * n * k < 2 * SMALLEST_WORK {
        return n;
    }
    match lies {
        Lies::Transposed => (STREAMED / k.max(1)).next_multiple_of(4).max(4),
        Lies::RowMajor => (n / 8).next_multiple_of(64).clamp(128, 512),
    }
    .min(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pool;
    use crate::testing::{Tensor, call};

    const FLOATS: [DType; 4] = [DType::F64, DType::F32, DType::BF16, DType::F16];

    fn product(a: &Tensor, b: &Tensor, pool: &Pool) -> Tensor {
        let mut inputs = [Some(a.clone()), Some(b.clone())];
        call("matmul", &elm_core::sample(&[]), &mut inputs, pool).expect("a product cannot fail").remove(0)
    }

    /// Weights as layers keep them, `[n, k]`, and row-major.
    fn right_matrices(dtype: DType, k: usize, n: usize) -> [Tensor; 2] {
        [Tensor::noise(dtype, &[n, k], 2).permuted(&[1, 0]), Tensor::noise(dtype, &[k, n], 2)]
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let pools = [1, 2, 3, 5].map(Pool::new);
        for dtype in FLOATS {
            for [m, k, n] in [[1, 700, 900], [5, 333, 501], [130, 260, 390], [2, 40, 30]] {
                let a = Tensor::noise(dtype, &[m, k], 1);
                for b in right_matrices(dtype, k, n) {
                    let first = product(&a, &b, &pools[0]);
                    for pool in &pools[1..] {
                        let other = product(&a, &b, pool);
                        assert!(
                            first.bytes() == other.bytes(),
                            "{dtype} {m}×{k}×{n}, {} threads",
                            pool.threads()
                        );
                    }
                }
            }
        }
    }

    /// What lets a prompt be read in chunks, or tokens be checked several at once.
    #[test]
    fn rows_of_a_small_product_equal_products_of_single_rows() {
        let pool = Pool::new(2);
        for dtype in FLOATS {
            let (k, n) = (393, 517);
            let a = Tensor::noise(dtype, &[MAX_ROWS, k], 1);
            let line = n * dtype.size();
            for b in right_matrices(dtype, k, n) {
                for m in [2, 3, 7, MAX_ROWS] {
                    let mut some = a.clone();
                    some.layout.shape[0] = m;
                    let whole = product(&some, &b, &pool);
                    for row in 0..m {
                        let mut one = a.clone();
                        one.layout.shape[0] = 1;
                        one.layout.offset = row * k;
                        let single = product(&one, &b, &pool);
                        let part = &whole.bytes()[row * line..(row + 1) * line];
                        assert!(part == &single.bytes()[..line], "{dtype} m = {m}, row {row}");
                    }
                }
            }
        }
    }

    /// `[B, T, D] · [D, N]` is one product, so batches of few rows keep that order too.
    #[test]
    fn leading_axes_join_the_rows() {
        let pool = Pool::new(2);
        let [b, _] = right_matrices(DType::F32, 64, 70);
        let flat = product(&Tensor::noise(DType::F32, &[12, 64], 1), &b, &pool);
        let deep = product(&Tensor::noise(DType::F32, &[3, 4, 64], 1), &b, &pool);
        assert!(flat.bytes() == deep.bytes());
        let turned = Tensor::noise(DType::F32, &[4, 3, 64], 1).permuted(&[1, 0, 2]);
        let apart = product(&turned, &b, &pool);
        let row = 70 * 4;
        for (i, j) in (0..3).flat_map(|i| (0..4).map(move |j| (i, j))) {
            let (there, here) = ((j * 3 + i) * row, (i * 4 + j) * row);
            assert!(apart.bytes()[here..here + row] == flat.bytes()[there..there + row]);
        }
    }
}
