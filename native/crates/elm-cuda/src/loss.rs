//! The cross-entropy's attributes as kernels take them, and the last step of every op with that loss.

use elm_core::{Attrs, DType, KernelCall};

use crate::function::Param;
use crate::grid::Grid;
use crate::view::{CallExt, Run, optional};

/// `Loss` of `cross_entropy.cuh`.
#[repr(C)]
pub struct Loss {
    ignore: i64,
    z_loss: f64,
    /// What an ignored position adds to `z`.
    constant: f64,
    smoothing: f64,
}

// SAFETY: `repr(C)`, four numbers of 8 bytes.
unsafe impl Param for Loss {}

/// Bytes of what a row adds to `ce` and `z`.
pub const SUMS: usize = 2 * size_of::<f64>();

impl Loss {
    pub fn of(attrs: &Attrs, classes: usize) -> Loss {
        let z_loss = attrs.f64("z_loss");
        let is_corenet = attrs.choice("z_loss_mode") == 1;
        Loss {
            ignore: attrs.int("ignore_index"),
            z_loss,
            constant: if is_corenet { z_loss * (classes as f64).ln().powi(2) } else { 0.0 },
            smoothing: attrs.f64("label_smoothing"),
        }
    }
}

/// Adds the sums of all rows and stores `loss`, `ce` and `z` in the accumulator of `dtype`.
pub fn store_losses(call: &KernelCall, dtype: DType, sums: *mut u8, rows: usize) -> Run {
    let outputs: [*mut u8; 3] = std::array::from_fn(|i| optional(call.optional_output(i)));
    let rows = rows as u64;
    let args: [&dyn Param; 5] = [&outputs[0], &outputs[1], &outputs[2], &sums, &rows];
    let grid = Grid::new(1, 1024);
    call.gpu().launch("cross_entropy", "cross_entropy_total", &[dtype.accumulator()], grid, &args)
}
