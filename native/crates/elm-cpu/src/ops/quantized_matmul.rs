use elm_core::{Attrs, DType, Kernel, KernelCall, KernelError, View, bf16, elements, f16};

use crate::element::Real;
use crate::product::{self, Factor, Matrix};
use crate::quantized::{Quantized, UNIT};
use crate::quantized_dots::{Dots, arrange};
use crate::scratch;
use crate::simd::Slices;
use crate::skinny::{MAX_ROWS, Out, RowsOf, Skinny};
use crate::view::{CallExt, Ptr, ptr, slice};

pub static KERNELS: &[Kernel] =
    &[Kernel::new("quantized_matmul", run).with_cost(cost).with_workspace(workspace)];

/// Rows of `x`.
fn lines(x: &View) -> usize {
    elements(&x.shape()[..x.shape().len() - 1])
}

/// On one core about 20 multiply-adds a nanosecond, or 10 where codes come from memory for a few rows.
fn cost(inputs: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> u64 {
    let (Some(x), Some(y)) = (&inputs[0], &outputs[0]) else { return 0 };
    let inner = x.shape()[x.shape().len() - 1];
    (y.elements() * inner / if lines(x) <= MAX_ROWS { 10 } else { 20 }) as u64
}

/// `x` in its accumulator.
fn workspace(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    inputs[0].as_ref().map_or(0, |x| x.elements() * x.dtype.accumulator().size())
}

fn run(call: &KernelCall) -> Result<(), KernelError> {
    match call.input(0).dtype {
        DType::F64 => of_x::<f64>(call),
        DType::F32 => of_x::<f32>(call),
        DType::BF16 => of_x::<bf16>(call),
        DType::F16 => of_x::<f16>(call),
        other => unreachable!("signatures admit no {other} here"),
    }
    Ok(())
}

fn of_x<T: Slices + Factor<Acc: Dots + Slices<Acc = T::Acc> + Factor<Acc = T::Acc>>>(call: &KernelCall) {
    match call.input(2).dtype {
        DType::F32 => typed::<T, f32>(call),
        DType::BF16 => typed::<T, bf16>(call),
        DType::F16 => typed::<T, f16>(call),
        other => unreachable!("signatures admit no {other} here"),
    }
}

fn typed<T, S>(call: &KernelCall)
where
    T: Slices + Factor<Acc: Dots + Slices<Acc = T::Acc> + Factor<Acc = T::Acc>>,
    S: Slices<Acc = f32>,
{
    let [bits, group] = ["bits", "group"].map(|name| call.attrs.int(name) as usize);
    let weights = Quantized::<S>::new([1, 2, 3].map(|i| call.input(i)), bits, group);
    let (x, y) = (call.input(0), call.output(0));
    let [m, k, n] = [lines(x), x.shape()[x.shape().len() - 1], y.shape()[y.shape().len() - 1]];
    if y.elements() == 0 {
        return;
    }
    let transpose = call.attrs.bool("transpose");
    let few = m <= MAX_ROWS;
    let wide = call.scratch::<T::Acc>(0, m * k);
    <T as Slices>::widen(slice(x), wide);
    if few && transpose && T::Acc::is_arranged(bits) {
        arrange(wide);
    }
    let (size, x) = ([m, n, k], Ptr::of(wide));
    match (few, transpose) {
        (true, true) => rows_of_weights::<T, S>(call, size, x, weights),
        (true, false) => columns_of_weights::<T, S>(call, size, x, weights),
        (false, _) => slabs_of_weights::<T, S>(call, size, x, weights, transpose),
    }
}

/// Multiply-adds that are worth a task.
const SMALLEST_WORK: usize = 128 * 1024;
/// Numbers that one task of few rows reads.
const STREAMED: usize = 128 * 1024;

/// Few rows of `x` with rows of the matrix; each task has some of these.
fn rows_of_weights<T, S>(call: &KernelCall, [m, n, k]: [usize; 3], x: Ptr<T::Acc>, weights: Quantized<S>)
where
    T: Slices<Acc: Dots + Slices<Acc = T::Acc>>,
    S: Slices<Acc = f32>,
{
    let y = ptr::<T>(call.output(0));
    let block =
        if m * n * k < 2 * SMALLEST_WORK { n } else { (STREAMED / k).next_multiple_of(4).clamp(4, n.max(4)) };
    call.pool().run(n.div_ceil(block), |task| {
        let start = task * block;
        let columns = block.min(n - start);
        let a = RowsOf { start: x.raw().cast_const(), stride: k as isize };
        scratch::with(m * columns, |sums: &mut [T::Acc]| {
            let out = Out { start: sums.as_mut_ptr(), stride: columns };
            // SAFETY: the scratch has these sums, and `x` these rows.
            unsafe { <T::Acc as Dots>::multiply([m, columns], a, weights, start, out) };
            for (row, sums) in sums.chunks_exact(columns).enumerate() {
                // SAFETY: columns of `y` belong to one task.
                T::narrow(sums, unsafe { y.slice_mut(row * n + start, columns) });
            }
        });
    });
}

/// Rows of the matrix that become numbers at once; a multiple of the steps of [`Skinny::add`].
const DEPTH_OF_FEW: usize = 8;

/// Few rows of `x` with columns of the matrix; each task has some of these.
fn columns_of_weights<T, S>(call: &KernelCall, [m, n, k]: [usize; 3], x: Ptr<T::Acc>, weights: Quantized<S>)
where
    T: Slices<Acc: Dots + Slices<Acc = T::Acc>>,
    S: Slices<Acc = f32>,
{
    let y = ptr::<T>(call.output(0));
    let block = (n / 8).next_multiple_of(UNIT).clamp(128, 512);
    call.pool().run(n.div_ceil(block), |task| {
        let start = task * block;
        let columns = block.min(n - start);
        scratch::with((m + DEPTH_OF_FEW) * columns, |room: &mut [T::Acc]| {
            let (sums, numbers) = room.split_at_mut(m * columns);
            sums.fill(T::Acc::ZERO);
            for at in (0..k).step_by(DEPTH_OF_FEW) {
                let depth = DEPTH_OF_FEW.min(k - at);
                for (row, numbers) in numbers.chunks_exact_mut(columns).take(depth).enumerate() {
                    weights.read(at + row, start, numbers);
                }
                let a = RowsOf { start: x.at(at).raw().cast_const(), stride: k as isize };
                let b = RowsOf { start: numbers.as_ptr(), stride: columns as isize };
                let out = Out { start: sums.as_mut_ptr(), stride: columns };
                // SAFETY: the scratch has these sums and numbers, and `x` these rows.
                unsafe { <T::Acc as Skinny>::add([m, columns, depth], a, b, out) };
            }
            for (row, sums) in sums.chunks_exact(columns).enumerate() {
                // SAFETY: columns of `y` belong to one task.
                T::narrow(sums, unsafe { y.slice_mut(row * n + start, columns) });
            }
        });
    });
}

/// Numbers that rows of the matrix become at once; the product of so many is worth sharing out.
const SLAB: usize = 1 << 20;

/// Many rows: slabs of the matrix become numbers and are multiplied. Where the matrix is not transposed, a slab is a
/// part of the inner axis, and the sums are kept until all slabs are added.
fn slabs_of_weights<T, S>(
    call: &KernelCall,
    [m, n, k]: [usize; 3],
    x: Ptr<T::Acc>,
    weights: Quantized<S>,
    transpose: bool,
) where
    T: Slices + Factor<Acc: Factor<Acc = T::Acc>>,
    S: Slices<Acc = f32>,
{
    let y = ptr::<T>(call.output(0));
    let (rows, dim) = if transpose { (n, k) } else { (k, n) };
    let most = (SLAB / dim.max(1)).clamp(1, rows);
    let kept = if transpose { 0 } else { m * n };
    scratch::with(kept + most * dim, |room: &mut [T::Acc]| {
        let (sums, numbers) = room.split_at_mut(kept);
        for start in (0..rows).step_by(most) {
            let count = most.min(rows - start);
            let shared = Ptr::of(numbers);
            call.pool().run_ranges(count, (SMALLEST_WORK / 8 / dim).max(1), |range| {
                for row in range {
                    // SAFETY: every row belongs to one task.
                    weights.read(start + row, 0, unsafe { shared.slice_mut(row * dim, dim) });
                }
            });
            let left = Matrix::row_major(x.raw(), k);
            let right = Matrix::row_major(numbers.as_mut_ptr(), dim);
            // SAFETY: the scratch has these numbers and sums, `x` these rows and `y` these columns.
            unsafe {
                if transpose {
                    let out = Matrix::row_major(y.raw(), n).at_column(start);
                    product::multiply(call.pool(), [m, count, k], left, right.transposed(), out, false);
                } else {
                    let out = Matrix::row_major(sums.as_mut_ptr(), n);
                    let left = left.at_column(start);
                    product::multiply(call.pool(), [m, n, count], left, right, out, start > 0);
                }
            }
        }
        for (row, sums) in sums.chunks_exact(n).enumerate() {
            // SAFETY: the pool is done with `y`.
            T::narrow(sums, unsafe { y.slice_mut(row * n, n) });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pool;
    use crate::testing::{Tensor, call};
    use elm_core::Layout;

    /// `x`, then codes, scales and biases of a matrix `[rows, dim]`.
    fn operands(
        dtype: DType,
        [m, rows, dim]: [usize; 3],
        bits: usize,
        group: usize,
        transpose: bool,
    ) -> [Tensor; 4] {
        let words = |i: usize| f64::from((i as u32).wrapping_mul(0x9E37_79B1) ^ 0x5A5A_1234);
        let groups = [rows, dim / group];
        [
            Tensor::noise(dtype, &[m, if transpose { dim } else { rows }], 1),
            Tensor::of(DType::U32, &[rows, dim * bits / 32], words),
            Tensor::noise(DType::F16, &groups, 2),
            Tensor::noise(DType::F16, &groups, 3),
        ]
    }

    fn run(
        op: &str,
        inputs: &[&Tensor],
        bits: usize,
        group: usize,
        transpose: Option<bool>,
        pool: &Pool,
    ) -> Tensor {
        let mut attrs = elm_core::sample(&[]).int("bits", bits as i64).int("group", group as i64);
        attrs = match transpose {
            Some(value) => attrs.bool("transpose", value),
            None => attrs.attr("dtype", elm_core::Attr::DType(DType::F32)),
        };
        let mut inputs: Vec<_> = inputs.iter().map(|&tensor| Some(tensor.clone())).collect();
        call(op, &attrs, &mut inputs, pool).expect("a product cannot fail").remove(0)
    }

    fn product(
        [x, codes, scales, biases]: [&Tensor; 4],
        bits: usize,
        group: usize,
        transpose: bool,
        pool: &Pool,
    ) -> Tensor {
        run("quantized_matmul", &[x, codes, scales, biases], bits, group, Some(transpose), pool)
    }

    const WIDTHS: [(usize, usize); 4] = [(8, 32), (4, 32), (4, 128), (5, 64)];

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let pools = [1, 2, 5].map(Pool::new);
        for (bits, group) in WIDTHS {
            for (m, transpose) in [(1, true), (3, true), (40, true), (3, false), (40, false)] {
                let [x, c, s, b] = operands(DType::BF16, [m, 520, 640], bits, group, transpose);
                let all =
                    pools.each_ref().map(|pool| product([&x, &c, &s, &b], bits, group, transpose, pool));
                assert!(
                    all.iter().all(|y| y.bytes() == all[0].bytes()),
                    "{bits} bits, {m} rows, {transpose}"
                );
            }
        }
    }

    /// What lets a prompt be read in chunks, or tokens be checked several at once.
    #[test]
    fn rows_of_a_small_product_equal_products_of_single_rows() {
        let pool = Pool::new(2);
        for (bits, group) in WIDTHS {
            for (dtype, transpose) in
                [(DType::F32, true), (DType::BF16, true), (DType::F64, true), (DType::F32, false)]
            {
                let [x, c, s, b] = operands(dtype, [MAX_ROWS, 267, 384], bits, group, transpose);
                let (k, n) = if transpose { (384, 267) } else { (267, 384) };
                let line = n * dtype.size();
                for m in [2, 3, 7, MAX_ROWS] {
                    let mut some = x.clone();
                    some.layout.shape[0] = m;
                    let whole = product([&some, &c, &s, &b], bits, group, transpose, &pool);
                    for row in 0..m {
                        let mut one = x.clone();
                        one.layout = Layout { offset: row * k, ..Layout::contiguous(&[1, k]) };
                        let single = product([&one, &c, &s, &b], bits, group, transpose, &pool);
                        let part = &whole.bytes()[row * line..(row + 1) * line];
                        assert!(part == &single.bytes()[..line], "{dtype} {bits} bits, m = {m}, row {row}");
                    }
                }
            }
        }
    }

    /// Numbers made in registers are those of `dequantize`; 8-bit codes are even summed in the order of a matmul.
    #[test]
    fn the_product_is_that_of_the_dequantized_matrix() {
        let pool = Pool::new(2);
        for (bits, group) in WIDTHS {
            let [x, c, s, b] = operands(DType::F32, [2, 70, 384], bits, group, true);
            let got = product([&x, &c, &s, &b], bits, group, true, &pool);
            let w = run("dequantize", &[&c, &s, &b], bits, group, None, &pool).permuted(&[1, 0]);
            let mut inputs = [Some(x), Some(w)];
            let want =
                call("matmul", &elm_core::sample(&[]), &mut inputs, &pool).expect("it cannot fail").remove(0);
            let floats = |y: &Tensor| -> Vec<f32> {
                y.bytes()[..2 * 70 * 4].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            };
            for (got, want) in floats(&got).into_iter().zip(floats(&want)) {
                let allowed = if bits == 4 { 1e-4 * want.abs().max(10.0) } else { 0.0 };
                assert!((got - want).abs() <= allowed, "{bits} bits: {got} {want}");
            }
        }
    }
}
