use elm_core::{DType, Kernel, KernelCall, KernelError, View, bf16, f16};
use gemm::Parallelism;
use smallvec::SmallVec;

use crate::element::Float;
use crate::nd::Walk;
use crate::view::{CallExt, Ptr, ptr};

pub static KERNELS: &[Kernel] =
    &[Kernel::new("matmul", run).strided().with_cost(cost).with_workspace(workspace)];

/// One matrix of a batch: element `[i, j]` lies at `start + i·rows + j·columns`.
#[derive(Clone, Copy)]
pub struct Matrix<T> {
    pub start: Ptr<T>,
    pub rows: isize,
    pub columns: isize,
}

/// Columns and rows of the output that one task computes, fixed so that the split does not depend on threads.
const TILE_ROWS: usize = 512;
const TILE_COLUMNS: usize = 512;

/// About 20 multiply-adds a nanosecond on one core.
fn cost(inputs: &[Option<View>], outputs: &[Option<View>], _: &elm_core::Attrs) -> u64 {
    let inner = inputs[0].as_ref().and_then(|x| x.shape().last().copied()).unwrap_or(1);
    let out = outputs[0].as_ref().map_or(0, View::elements);
    (out * inner / 20) as u64
}

/// Half-precision operands are widened to f32 first, and the product is rounded once at the end.
fn workspace(inputs: &[Option<View>], outputs: &[Option<View>], _: &elm_core::Attrs) -> usize {
    let widened = |view: &View| if view.dtype.size() == 2 { view.elements() * 4 } else { 0 };
    inputs.iter().chain(outputs).flatten().map(widened).sum()
}

fn run(call: &KernelCall) -> Result<(), KernelError> {
    let (a, b, y) = (call.input(0), call.input(1), call.output(0));
    match a.dtype {
        DType::F32 => multiply::<f32>(call, ptr(a), &a.layout.strides, ptr(b), &b.layout.strides, ptr(y)),
        DType::F64 => multiply::<f64>(call, ptr(a), &a.layout.strides, ptr(b), &b.layout.strides, ptr(y)),
        DType::BF16 => widened::<bf16>(call),
        DType::F16 => widened::<f16>(call),
        other => unreachable!("signatures admit no {other} here"),
    }
    Ok(())
}

fn widened<T: Float<Acc = f32>>(call: &KernelCall) {
    let (a, b, y) = (call.input(0), call.input(1), call.output(0));
    let wide_a = call.scratch::<f32>(0, a.elements());
    let wide_b = call.scratch::<f32>(a.elements(), b.elements());
    widen::<T>(call, a, wide_a);
    widen::<T>(call, b, wide_b);
    let (strides_a, strides_b) =
        (elm_core::Layout::contiguous(a.shape()).strides, elm_core::Layout::contiguous(b.shape()).strides);
    let in_f32 = y.dtype == DType::F32;
    let wide_y = call.scratch::<f32>(a.elements() + b.elements(), if in_f32 { 0 } else { y.elements() });
    let target = if in_f32 { ptr::<f32>(y) } else { Ptr::of(wide_y) };
    multiply::<f32>(call, Ptr::of(wide_a), &strides_a, Ptr::of(wide_b), &strides_b, target);
    if !in_f32 {
        let out = ptr::<T>(y);
        call.pool().run_ranges(y.elements(), 16 * 1024, |range| {
            for i in range {
                // SAFETY: ranges are disjoint and inside the output.
                unsafe { out.write(i as isize, T::store(wide_y[i])) };
            }
        });
    }
}

fn widen<T: Float<Acc = f32>>(call: &KernelCall, from: &View, to: &mut [f32]) {
    let dense = elm_core::Layout::contiguous(from.shape());
    let walk = Walk::new([&dense, &from.layout]);
    let (source, target) = (ptr::<T>(from), Ptr::of(to));
    let [down, step] = walk.steps;
    walk.run(call.pool(), |[at, start], len| {
        for i in 0..len as isize {
            // SAFETY: the walk stays inside both and visits each target element once.
            unsafe { target.write(at + i * down, source.read(start + i * step).load()) };
        }
    });
}

/// `y = a · b` for every matrix of the broadcast batch; `y` is row-major.
fn multiply<T: gemm_type::Gemm>(
    call: &KernelCall,
    a: Ptr<T>,
    strides_a: &[isize],
    b: Ptr<T>,
    strides_b: &[isize],
    y: Ptr<T>,
) {
    let shape = call.output(0).shape();
    let (batch, [m, n]) = (&shape[..shape.len() - 2], [shape[shape.len() - 2], shape[shape.len() - 1]]);
    let k = *call.input(0).shape().last().expect("the shape rule wants matrices");
    let starts_a = batch_starts(batch, call.input(0).shape(), strides_a);
    let starts_b = batch_starts(batch, call.input(1).shape(), strides_b);
    let (tiles_m, tiles_n) = (m.div_ceil(TILE_ROWS), n.div_ceil(TILE_COLUMNS));
    let [a_rows, a_columns] = last_two(strides_a);
    let [b_rows, b_columns] = last_two(strides_b);
    call.pool().run(starts_a.len() * tiles_m * tiles_n, |task| {
        let (matrix, tile) = (task / (tiles_m * tiles_n), task % (tiles_m * tiles_n));
        let (row, column) = (tile / tiles_n * TILE_ROWS, tile % tiles_n * TILE_COLUMNS);
        let (rows, columns) = (TILE_ROWS.min(m - row), TILE_COLUMNS.min(n - column));
        let left = Matrix {
            start: a.moved(starts_a[matrix] + row as isize * a_rows),
            rows: a_rows,
            columns: a_columns,
        };
        let right = Matrix {
            start: b.moved(starts_b[matrix] + column as isize * b_columns),
            rows: b_rows,
            columns: b_columns,
        };
        let out = Matrix { start: y.at(matrix * m * n + row * n + column), rows: n as isize, columns: 1 };
        // SAFETY: the tiles of `y` are disjoint, and all three matrices lie inside their storages.
        unsafe { product([rows, columns, k], left, right, out) };
    });
}

/// `out = left · right` for one tile on this thread.
///
/// # Safety
/// The matrices lie inside live storages of the given sizes and nobody else touches `out`.
pub unsafe fn product<T: gemm_type::Gemm>(
    [m, n, k]: [usize; 3],
    left: Matrix<T>,
    right: Matrix<T>,
    out: Matrix<T>,
) {
    // SAFETY: passed on from the caller; `read_dst` is false, so `out` need not be initialized.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.start.raw(),
            out.columns,
            out.rows,
            false,
            left.start.raw(),
            left.columns,
            left.rows,
            right.start.raw(),
            right.columns,
            right.rows,
            T::ZERO_SCALE,
            T::ONE_SCALE,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

fn last_two(strides: &[isize]) -> [isize; 2] {
    [strides[strides.len() - 2], strides[strides.len() - 1]]
}

/// Where each matrix of the broadcast batch starts.
fn batch_starts(batch: &[usize], shape: &[usize], strides: &[isize]) -> SmallVec<[isize; 8]> {
    let own = &shape[..shape.len() - 2];
    let lead = batch.len() - own.len();
    let mut starts: SmallVec<[isize; 8]> = SmallVec::from_elem(0, 1);
    for (axis, &dim) in batch.iter().enumerate() {
        let step = if axis < lead || own[axis - lead] == 1 { 0 } else { strides[axis - lead] };
        starts = starts.iter().flat_map(|&s| (0..dim as isize).map(move |i| s + i * step)).collect();
    }
    starts
}

/// The two dtypes that gemm multiplies here.
pub mod gemm_type {
    pub trait Gemm: Copy + Send + Sync + 'static {
        const ZERO_SCALE: Self;
        const ONE_SCALE: Self;
    }
    impl Gemm for f32 {
        const ZERO_SCALE: f32 = 0.0;
        const ONE_SCALE: f32 = 1.0;
    }
    impl Gemm for f64 {
        const ZERO_SCALE: f64 = 0.0;
        const ONE_SCALE: f64 = 1.0;
    }
}
