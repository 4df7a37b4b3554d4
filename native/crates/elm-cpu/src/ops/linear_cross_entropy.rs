use elm_core::{Attrs, DType, Kernel, KernelCall, KernelError, View, bf16, f16};

use crate::Pool;
use crate::element::Real;
use crate::product::{self, Factor, Matrix};
use crate::simd::Slices;
use crate::softmax_loss::{Loss, Sums};
use crate::view::{CallExt, Ptr, ptr, slice};

use super::cross_entropy::store_losses;

pub static KERNELS: &[Kernel] =
    &[Kernel::new("linear_cross_entropy", run).with_workspace(workspace).with_cost(cost)];

/// Bytes of logits that are held at a time.
const CHUNK: usize = 4 << 20;
/// Fewer rows would make the products bound by memory: each chunk reads `weight` and adds to `dweight` as a whole.
const FEWEST_ROWS: usize = 64;

fn chunk_rows(rows: usize, classes: usize, width: usize) -> usize {
    (CHUNK / (classes * width)).max(FEWEST_ROWS).min(rows).max(1)
}

/// Sizes of a call: rows, classes, dim, rows of a chunk.
fn sizes(inputs: &[Option<View>]) -> [usize; 4] {
    let [hidden, weight] = [&inputs[0], &inputs[1]].map(|view| view.as_ref().expect("both are required"));
    let [rows, dim] = [hidden.shape()[0], hidden.shape()[1]];
    let classes = weight.shape()[0];
    [rows, classes, dim, chunk_rows(rows, classes, hidden.dtype.accumulator().size())]
}

/// The logits of a chunk, then the sums of each row.
fn workspace(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    let [rows, classes, _, chunk] = sizes(inputs);
    let width = inputs[0].as_ref().map_or(0, |hidden| hidden.dtype.accumulator().size());
    rows * size_of::<Sums>() + chunk * classes * width
}

/// One to three products at 20 multiply-adds a nanosecond.
fn cost(inputs: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> u64 {
    let [rows, classes, dim, _] = sizes(inputs);
    let products = 1 + outputs[3..].iter().flatten().count();
    (rows * classes * dim * products / 20) as u64
}

fn run(call: &KernelCall) -> Result<(), KernelError> {
    match call.input(0).dtype {
        DType::F64 => typed::<f64>(call),
        DType::F32 => typed::<f32>(call),
        DType::BF16 => typed::<bf16>(call),
        DType::F16 => typed::<f16>(call),
        other => unreachable!("signatures admit no {other} here"),
    }
}

/// For each chunk of rows: logits, their log-partitions, and where a gradient is wanted, the logits turned into their
/// gradient in place and multiplied with `weight` and `hidden`. `dweight` grows chunk by chunk, in order.
///
/// bf16 inputs round the gradient to bf16 as well: machines multiply two bf16 matrices twice as fast.
fn typed<T>(call: &KernelCall) -> Result<(), KernelError>
where
    T: Factor<Acc: Factor<Acc = T::Acc> + Slices> + Slices,
{
    let rounds = T::DTYPE == DType::BF16;
    let [rows, classes, dim, chunk] = sizes(call.inputs);
    let targets = slice::<i32>(call.input(2));
    let loss = Loss::of(call.attrs, classes);
    loss.check(targets)?;
    let sums = call.scratch::<Sums>(0, rows);
    let logits = call.scratch::<T::Acc>(rows * size_of::<Sums>() / size_of::<T::Acc>(), chunk * classes);
    let hidden = Matrix::row_major(ptr::<T>(call.input(0)).raw(), dim);
    let weight = Matrix::row_major(ptr::<T>(call.input(1)).raw(), dim);
    let dhidden = call.optional_output(3).map(|view| Matrix::row_major(ptr::<T>(view).raw(), dim));
    let dweight = call.optional_output(4).map(|view| Matrix::row_major(ptr::<T::Acc>(view).raw(), dim));
    if let (Some(out), true) = (call.optional_output(4), rows == 0) {
        crate::view::slice_mut::<T::Acc>(out).fill(<T::Acc as Real>::ZERO);
    }
    for start in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - start);
        let part = Matrix::row_major(logits.as_mut_ptr(), classes);
        let hidden = hidden.at_row(start);
        // SAFETY: the chunk lies inside `hidden` and `logits`.
        unsafe {
            product::multiply(call.pool(), [count, classes, dim], hidden, weight.transposed(), part, false);
        }
        let wants_gradient = dhidden.is_some() || dweight.is_some();
        let (rows_of, sums_of) = (Ptr::of(logits), Ptr::of(sums));
        call.pool().run_ranges(
            count,
            (8192 / classes).max(1),
            #[inline(always)]
            |range| {
                for row in range {
                    let target = targets[start + row];
                    // SAFETY: every row and its sums belong to one task.
                    unsafe {
                        let row_of_logits = rows_of.slice_mut(row * classes, classes);
                        let (lse, added) = loss.row(row_of_logits, target);
                        sums_of.write((start + row) as isize, added);
                        if wants_gradient {
                            loss.gradient_in_place(row_of_logits, target, lse);
                            if rounds {
                                narrow_in_place::<T>(row_of_logits);
                            }
                        }
                    }
                }
            },
        );
        let products = Products { size: [count, classes, dim], hidden, weight, dhidden, dweight, start };
        // SAFETY: the chunk lies inside all matrices; where rows were narrowed, their elements begin where they did.
        unsafe {
            if rounds {
                let width = classes * size_of::<T::Acc>() / size_of::<T>();
                products.run(call.pool(), Matrix::row_major(part.start.cast::<T>(), width));
            } else {
                products.run(call.pool(), part);
            }
        }
    }
    store_losses::<T::Acc>(call, sums);
    Ok(())
}

/// The two products of a chunk with the gradient of its logits.
struct Products<T: Factor> {
    size: [usize; 3],
    hidden: Matrix<T>,
    weight: Matrix<T>,
    dhidden: Option<Matrix<T>>,
    dweight: Option<Matrix<T::Acc>>,
    start: usize,
}

impl<T: Factor<Acc: Factor<Acc = T::Acc>>> Products<T> {
    /// # Safety
    /// The matrices have the sizes of the chunk, and nobody else touches the outputs.
    unsafe fn run<G: Factor<Acc = T::Acc>>(&self, pool: &Pool, gradient: Matrix<G>) {
        let [count, classes, dim] = self.size;
        // SAFETY: the caller's promise; the two run one after the other.
        unsafe {
            if let Some(out) = self.dhidden {
                let out = out.at_row(self.start);
                product::multiply(pool, [count, dim, classes], gradient, self.weight, out, false);
            }
            if let Some(out) = self.dweight {
                let (gradient, added) = (gradient.transposed(), self.start > 0);
                product::multiply(pool, [classes, dim, count], gradient, self.hidden, out, added);
            }
        }
    }
}

/// Rounds a row to `T`, whose elements then lie at its start.
#[inline(always)]
fn narrow_in_place<T: Slices>(row: &mut [T::Acc]) {
    let (start, len) = (row.as_mut_ptr(), row.len());
    let mut block = [<T::Acc as Real>::ZERO; 64];
    for at in (0..len).step_by(64) {
        let block = &mut block[..64.min(len - at)];
        // SAFETY: both lie inside the row; narrow elements end before the next wide ones begin.
        unsafe {
            block.copy_from_slice(std::slice::from_raw_parts(start.add(at), block.len()));
            T::narrow(block, std::slice::from_raw_parts_mut(start.cast::<T>().add(at), block.len()));
        }
    }
}
