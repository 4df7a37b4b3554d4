use elm_core::{Attrs, ErrorCode, Kernel, KernelCall, KernelError, View};

use crate::grid::Grid;
use crate::random::stream;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("multinomial", run).with_workspace(workspace)];

/// Threads of the block of one row.
const BLOCK: u32 = 1024;
/// Draws without replacement that are found one by one; for more the row is sorted.
const FEW: usize = 16;

/// How the draws of a row are made.
enum Way {
    Running,
    Few,
    /// The row is padded to this length.
    Many(usize),
}

fn way(n: usize, attrs: &Attrs) -> Way {
    match (attrs.bool("replacement"), attrs.int("count") as usize) {
        (true, _) => Way::Running,
        (false, count) if count <= FEW => Way::Few,
        _ => Way::Many(n.next_power_of_two()),
    }
}

fn rows(x: &View) -> [usize; 2] {
    let n = x.shape().last().copied().unwrap_or(1);
    [x.elements().checked_div(n).unwrap_or(0), n]
}

/// A sum or a time for each position; times that are sorted bring their positions along.
fn workspace(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    let Some(x) = &inputs[0] else { return 0 };
    let [rows, n] = rows(x);
    match way(n, attrs) {
        Way::Running | Way::Few => 8 * rows * n,
        Way::Many(width) => 12 * rows * width,
    }
}

fn run(call: &KernelCall) -> Run {
    let (gpu, x, y) = (call.gpu(), call.input(0), call.output(0));
    let [rows, n] = rows(x);
    if rows == 0 {
        return Ok(());
    }
    let count = call.attrs.int("count") as usize;
    let enough = if call.attrs.bool("replacement") { 1 } else { count };
    let word = gpu.word_that_says(&[rows], move |row, _| KernelError {
        code: ErrorCode::InvalidArgument,
        message: format!(
            "row {} of probabilities must hold finite numbers that are not negative, at least {enough} of them positive",
            row[0]
        ),
    })?;
    let ([seed, counter], grid, dtype) = (stream(call.attrs), Grid::new(rows, BLOCK), [x.dtype]);
    let (out, source, scratch) = (address(y), address(x), call.workspace);
    let (n64, count64) = (n as u64, count as u64);
    match way(n, call.attrs) {
        Way::Running => {
            let args: [&dyn crate::Param; 4] = [&scratch, &source, &n64, &word];
            gpu.launch("multinomial", "multinomial_sums", &dtype, grid, &args)?;
            let draws = rows * count;
            let args: [&dyn crate::Param; 7] =
                [&out, &scratch, &seed, &counter, &(draws as u64), &count64, &n64];
            gpu.launch("multinomial", "multinomial_pick", &[], Grid::over(draws, &gpu.limits), &args)
        }
        Way::Few => {
            let args: [&dyn crate::Param; 8] =
                [&out, &source, &scratch, &seed, &counter, &n64, &count64, &word];
            gpu.launch("multinomial", "multinomial_few", &dtype, grid, &args)
        }
        Way::Many(width) => {
            let positions = scratch.wrapping_add(8 * rows * width);
            let width = width as u64;
            let args: [&dyn crate::Param; 10] =
                [&out, &source, &scratch, &positions, &seed, &counter, &n64, &count64, &width, &word];
            gpu.launch("multinomial", "multinomial_many", &dtype, grid, &args)
        }
    }
}
