use elm_core::{Attrs, DType, Kernel, KernelCall, View, elements};

use crate::blas::{Matrix, Product};
use crate::function::Param;
use crate::grid::Grid;
use crate::quantized::{Quantized, UNIT, terms};
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("quantized_matmul", run).with_workspace(workspace)];

/// Products of at most this many rows make the numbers of the matrix where they are multiplied.
const FEW_ROWS: usize = 16;
/// Units of columns of a block of `by_column`.
const UNITS: usize = 8;

/// Rows of `x`.
fn lines(x: &View) -> usize {
    elements(&x.shape()[..x.shape().len() - 1])
}

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::BF16 | DType::F16)
}

/// Rows and columns of the quantized matrix.
fn size(codes: &View, attrs: &Attrs) -> [usize; 2] {
    [codes.shape()[0], codes.shape()[1] / attrs.int("bits") as usize * 32]
}

/// Bytes of the numbers of the matrix, as often as they are needed, and of sums in f32.
fn parts(x: &View, codes: &View, y: &View, attrs: &Attrs) -> [usize; 2] {
    if lines(x) <= FEW_ROWS {
        return [0; 2];
    }
    let [rows, dim] = size(codes, attrs);
    let numbers = (rows * dim * x.dtype.size()).next_multiple_of(256);
    if is_half(x.dtype) { [terms(x.dtype) * numbers, y.elements() * 4] } else { [numbers, 0] }
}

fn workspace(inputs: &[Option<View>], outputs: &[Option<View>], attrs: &Attrs) -> usize {
    let (Some(x), Some(codes), Some(y)) = (&inputs[0], &inputs[1], &outputs[0]) else { return 0 };
    parts(x, codes, y, attrs).iter().sum()
}

fn run(call: &KernelCall) -> Run {
    let (gpu, x, y) = (call.gpu(), call.input(0), call.output(0));
    if y.elements() == 0 {
        return Ok(());
    }
    let weights = Quantized::new([1, 2, 3].map(|i| call.input(i)), call.attrs);
    let [rows, dim] = size(call.input(1), call.attrs);
    let transpose = call.attrs.bool("transpose");
    let (m, dtypes) = (lines(x), [x.dtype, call.input(2).dtype]);
    if x.elements() == 0 {
        // SAFETY: the output is live and row-major.
        return unsafe { gpu.fill_bytes(address(y), 0, y.bytes()) };
    }
    if m <= FEW_ROWS {
        let most = if x.dtype == DType::F64 { FEW_ROWS } else { m };
        let name = match (most, transpose) {
            (1, true) => "by_row_1",
            (2..=4, true) => "by_row_4",
            (_, true) => "by_row_16",
            (1, false) => "by_column_1",
            (2..=4, false) => "by_column_4",
            (_, false) => "by_column_16",
        };
        // By row: eight warps a block, each with two rows.
        let blocks = if transpose { rows.div_ceil(16) } else { dim.div_ceil(UNITS * UNIT) };
        let args: [&dyn Param; 5] = [&address(y), &address(x), &weights, &(m as u32), &(rows as u32)];
        return gpu.launch("quantized_matmul", name, &dtypes, Grid::new(blocks, 256), &args);
    }
    let [inner, outer] = if transpose { [dim, rows] } else { [rows, dim] };
    let steps = if transpose { [1, dim as isize] } else { [dim as isize, 1] };
    let [numbers, _] = parts(x, call.input(1), y, call.attrs);
    let matrix = |start, dtype, steps| Matrix { start, dtype, steps, batch: 0 };
    let product = |b: *mut u8, c: *mut u8, dtype, accumulate| Product {
        size: [m, outer, inner],
        batches: 1,
        a: matrix(address(x), x.dtype, [inner as isize, 1]),
        b: matrix(b, x.dtype, steps),
        c: matrix(c, dtype, [outer as isize, 1]),
        accumulate,
    };
    let to = [dtypes[1], x.dtype];
    if !is_half(x.dtype) {
        weights.numbers(gpu, rows, to, call.workspace)?;
        return gpu.multiply(&product(call.workspace, address(y), y.dtype, false));
    }
    // The matrix counts as f32: tensor cores take it as a sum of matrices of half precision, the small ones first.
    let (count, sums) = (terms(x.dtype), call.workspace.wrapping_add(numbers));
    let apart = numbers / count;
    weights.split(gpu, rows, to, call.workspace, apart / x.dtype.size())?;
    for term in (0..count).rev() {
        let part = call.workspace.wrapping_add(term * apart);
        gpu.multiply(&product(part, sums, DType::F32, term + 1 < count))?;
    }
    let n = y.elements();
    let args: [&dyn Param; 3] = [&address(y), &sums, &(n as u64)];
    gpu.launch("quantized_matmul", "narrow_all", &[y.dtype], Grid::over(n, &gpu.limits), &args)
}
