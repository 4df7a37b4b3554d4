use elm_core::{Attrs, DType, Kernel, KernelCall, Layout, View, elements};

use crate::blas::{Matrix, Product};
use crate::copy::copy;
use crate::function::Param;
use crate::grid::Grid;
use crate::nd::Nd;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("matmul", run).strided().with_workspace(workspace)];

/// Products of at most this many rows sum every row in an order of its own, whatever the number of rows.
const FEW_ROWS: usize = 16;

/// `y = a · b` for a batch of matrices, some axes of which may have been merged into rows.
struct Batch {
    /// Rows, columns, length of the sums.
    size: [usize; 3],
    lead: Vec<usize>,
    a: Operand,
    b: Operand,
}

/// Steps of a matrix, and of each leading axis of the batch.
struct Operand {
    steps: [isize; 2],
    lead: Vec<isize>,
}

impl Batch {
    fn of(a: &Layout, b: &Layout, y: &[usize]) -> Batch {
        // All rows of `a` meet the one `b`: a single product of more rows.
        if b.shape[..b.rank() - 2].iter().all(|&dim| dim == 1)
            && let Some(merged) = a.reshape(&[elements(&y[..y.len() - 1]), a.shape[a.rank() - 1]])
        {
            let size = [merged.shape[0], y[y.len() - 1], merged.shape[1]];
            return Batch { size, lead: Vec::new(), a: Operand::of(&merged, &[]), b: Operand::of(b, &[]) };
        }
        let (lead, [m, n]) = (&y[..y.len() - 2], [y[y.len() - 2], y[y.len() - 1]]);
        let size = [m, n, a.shape[a.rank() - 1]];
        Batch { size, a: Operand::of(a, lead), b: Operand::of(b, lead), lead: lead.to_vec() }
    }

    fn count(&self) -> usize {
        elements(&self.lead)
    }

    /// Whether one step leads from matrix to matrix through all leading axes.
    fn stride(&self, operand: &Operand) -> Option<isize> {
        let mut steps = self.lead.iter().zip(&operand.lead).filter(|(dim, _)| **dim != 1).rev();
        let Some((&dim, &first)) = steps.next() else { return Some(0) };
        let mut next = first * dim as isize;
        for (&dim, &step) in steps {
            if step != next {
                return None;
            }
            next *= dim as isize;
        }
        Some(first)
    }
}

impl Operand {
    fn of(layout: &Layout, batch: &[usize]) -> Operand {
        let own = &layout.shape[..layout.rank() - 2];
        let missing = batch.len() - own.len().min(batch.len());
        let lead = (0..batch.len()).map(|axis| match axis.checked_sub(missing) {
            Some(i) if own[i] != 1 => layout.strides[i],
            _ => 0,
        });
        let strides = &layout.strides;
        Operand { steps: [strides[strides.len() - 2], strides[strides.len() - 1]], lead: lead.collect() }
    }
}

/// Which inputs are copied to row-major order first: those of which no axis is straight.
fn copied(a: &View, b: &View, y: &View) -> [bool; 2] {
    let batch = Batch::of(&a.layout, &b.layout, y.shape());
    let [m, n, k] = batch.size;
    let fits = |operand: &Operand, view: &View, rows, columns| {
        let matrix = Matrix { start: view.base, dtype: view.dtype, steps: operand.steps, batch: 0 };
        matrix.fits(rows, columns)
    };
    [!fits(&batch.a, a, m, k), !fits(&batch.b, b, k, n)]
}

fn workspace(inputs: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> usize {
    let (Some(a), Some(b), Some(y)) = (&inputs[0], &inputs[1], &outputs[0]) else { return 0 };
    let bytes = copied(a, b, y).into_iter().zip([a, b]);
    bytes.map(|(copied, view)| if copied { view.bytes().next_multiple_of(256) } else { 0 }).sum()
}

fn run(call: &KernelCall) -> Run {
    let (gpu, y) = (call.gpu(), call.output(0));
    if y.elements() == 0 {
        return Ok(());
    }
    let (mut a, mut b) = (call.input(0).clone(), call.input(1).clone());
    if a.elements() == 0 {
        // SAFETY: the output is live and row-major.
        return unsafe { gpu.fill_bytes(address(y), 0, y.bytes()) };
    }
    let mut scratch = call.workspace;
    for (copied, view) in copied(&a, &b, y).into_iter().zip([&mut a, &mut b]) {
        if copied {
            let dense = View { base: scratch, dtype: view.dtype, layout: Layout::contiguous(view.shape()) };
            copy(gpu, view, &dense)?;
            scratch = scratch.wrapping_add(view.bytes().next_multiple_of(256));
            *view = dense;
        }
    }
    let batch = Batch::of(&a.layout, &b.layout, y.shape());
    let [m, n, _] = batch.size;
    if m <= FEW_ROWS {
        return few_rows(call, &batch, &a, &b);
    }
    let matrix = |view: &View, steps, batch| Matrix { start: address(view), dtype: view.dtype, steps, batch };
    let (c_steps, c_stride) = ([n as isize, 1], (m * n) as isize);
    if let (Some(a_stride), Some(b_stride)) = (batch.stride(&batch.a), batch.stride(&batch.b)) {
        return gpu.multiply(&Product {
            size: batch.size,
            batches: batch.count(),
            a: matrix(&a, batch.a.steps, a_stride),
            b: matrix(&b, batch.b.steps, b_stride),
            c: matrix(y, c_steps, c_stride),
            accumulate: false,
        });
    }
    // Several steps lead through the batch: one product for each of its matrices.
    for number in 0..batch.count() {
        let (mut rest, mut starts) = (number, [0isize; 2]);
        for (axis, &dim) in batch.lead.iter().enumerate().rev() {
            let index = (rest % dim) as isize;
            rest /= dim;
            starts[0] += index * batch.a.lead[axis];
            starts[1] += index * batch.b.lead[axis];
        }
        let at =
            |view: &View, start: isize| address(view).wrapping_offset(start * view.dtype.size() as isize);
        gpu.multiply(&Product {
            size: batch.size,
            batches: 1,
            a: Matrix { start: at(&a, starts[0]), ..matrix(&a, batch.a.steps, 0) },
            b: Matrix { start: at(&b, starts[1]), ..matrix(&b, batch.b.steps, 0) },
            c: Matrix { start: at(y, number as isize * c_stride), ..matrix(y, c_steps, 0) },
            accumulate: false,
        })?;
    }
    Ok(())
}

/// A product of one row with columns that are straight and can be read 16 bytes at a time.
pub(crate) struct RowProduct {
    /// Columns, and elements of each.
    pub n: usize,
    pub k: usize,
    /// Elements from one column to the next.
    pub across: i64,
    /// Parts of the sum of a column.
    pub split: u32,
}

impl RowProduct {
    /// What a call of `matmul` is, if it is one.
    pub(crate) fn of(call: &KernelCall) -> Option<RowProduct> {
        let (a, b, y) = (call.input(0), call.input(1), call.output(0));
        if y.elements() == 0 || a.dtype != y.dtype || copied(a, b, y) != [false; 2] {
            return None;
        }
        let batch = Batch::of(&a.layout, &b.layout, y.shape());
        let ([m, n, k], [down, across]) = (batch.size, batch.b.steps);
        let packs = |elements: usize| (elements * a.dtype.size()).is_multiple_of(16);
        let is_straight = batch.a.steps[1] == 1 && down == 1;
        let in_packs = packs(k) && packs(across.unsigned_abs()) && (address(b) as usize).is_multiple_of(16);
        let fits = m == 1 && batch.count() == 1 && is_straight && in_packs;
        fits.then(|| RowProduct { n, k, across: across as i64, split: warps_for_sums(k, a.dtype) })
    }
}

/// A kernel of our own, in which the order of a row's sums does not depend on how many rows there are.
fn few_rows(call: &KernelCall, batch: &Batch, a: &View, b: &View) -> Run {
    let y = call.output(0);
    let [m, n, k] = batch.size;
    let lead = Nd::of(&batch.lead, [&batch.a.lead, &batch.b.lead]);
    let sizes = [m, n, k].map(|size| size as u32);
    let [down, across] = batch.b.steps.map(|step| step as i64);
    let (a_down, a_across) = (batch.a.steps[0] as i64, batch.a.steps[1] as i64);
    let straight = down == 1 || k == 1;
    // By column: as many of a block's 8 warps for each column of the result as the sums want. By row: four threads along
    // the sum for each of 64 columns.
    let split = warps_for_sums(k, a.dtype);
    let blocks = n.div_ceil(if straight { 8 / split as usize } else { 64 });
    let name = match (straight, m) {
        (true, 1) => "by_column_1",
        (true, 2..=4) => "by_column_4",
        (true, _) => "by_column_16",
        (false, 1) => "by_row_1",
        (false, 2..=4) => "by_row_4",
        (false, _) => "by_row_16",
    };
    let ends: [&dyn Param; 2] = if straight { [&across, &split] } else { [&down, &across] };
    let args: [&dyn Param; 11] = [
        &address(y),
        &address(a),
        &address(b),
        &lead,
        &sizes[0],
        &sizes[1],
        &sizes[2],
        &a_down,
        &a_across,
        ends[0],
        ends[1],
    ];
    let grid = Grid::of([blocks, batch.count(), 1], 256);
    call.gpu().launch("few_rows", name, &[a.dtype, y.dtype], grid, &args)
}

/// Warps that share a sum of `k` products, by its length and dtype alone: with fewer, lanes wait for memory several times.
fn warps_for_sums(k: usize, dtype: DType) -> u32 {
    /// `AHEAD` of `few_rows.cuh`.
    const AHEAD: usize = 6;
    let at_once = AHEAD * 32 * 16 / dtype.size();
    k.div_ceil(at_once).next_power_of_two().clamp(1, 8) as u32
}
