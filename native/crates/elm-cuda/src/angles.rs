//! The table of cosines and sines of rotary embeddings; `angles.cuh` is the other half.

use elm_core::{DType, KernelCall, View};

use crate::Gpu;
use crate::function::Param;
use crate::grid::Grid;
use crate::view::{CallExt, Run, optional};

/// Components whose frequencies one launch takes.
const COMPONENTS: usize = 128;

/// `Angles` of `angles.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Angles {
    table: *mut u8,
    tokens: u32,
    half: u32,
    per_sequence: u32,
}

// SAFETY: `repr(C)`, an address and numbers.
unsafe impl Param for Angles {}

impl Angles {
    /// For kernels that make the angles themselves.
    pub fn without_table() -> Angles {
        Angles { table: std::ptr::null_mut(), tokens: 0, half: 0, per_sequence: 0 }
    }
}

/// `Frequencies` of `angles.cuh`.
#[repr(C)]
pub struct Frequencies([f64; COMPONENTS]);

// SAFETY: numbers.
unsafe impl Param for Frequencies {}

impl Frequencies {
    /// Those of the components from `first` on of a head of `dim` numbers.
    pub fn from(first: usize, dim: usize, base: f64) -> Frequencies {
        let frequency = |j: usize| if j < dim / 2 { base.powf(-2.0 * j as f64 / dim as f64) } else { 0.0 };
        Frequencies(std::array::from_fn(|j| frequency(first + j)))
    }
}

/// Whether the frequencies of a head of `dim` numbers are few enough for one launch to take all of them.
pub fn fit_one_launch(dim: usize) -> bool {
    dim / 2 <= COMPONENTS
}

/// Bytes of the table.
pub fn bytes([batch, tokens, dim]: [usize; 3], dtype: DType, has_offset: bool) -> usize {
    let rows = if has_offset { batch } else { 1 } * tokens;
    (rows * dim * dtype.accumulator().size()).next_multiple_of(256)
}

/// Submits the kernel that fills `table` for values of `dtype`.
pub fn table(
    call: &KernelCall,
    table: *mut u8,
    [batch, tokens, dim]: [usize; 3],
    dtype: DType,
    offset: Option<&View>,
) -> Run<Angles> {
    let gpu: &Gpu = call.gpu();
    let (half, base) = (dim / 2, call.attrs.f64("base"));
    let rows = if offset.is_some() { batch } else { batch.min(1) } * tokens;
    let step = offset.map_or(0, |offset| offset.layout.strides[0] as i64);
    let (half32, tokens32, rows64) = (half as u32, tokens as u32, rows as u64);
    for first in (0..half).step_by(COMPONENTS) {
        let count = COMPONENTS.min(half - first);
        let frequencies = Frequencies::from(first, dim, base);
        let (first32, count32) = (first as u32, count as u32);
        let args: [&dyn Param; 9] =
            [&table, &optional(offset), &step, &frequencies, &first32, &count32, &half32, &tokens32, &rows64];
        let grid = Grid::over(rows * count, &gpu.limits);
        gpu.launch("angles", "angles", &[dtype.accumulator()], grid, &args)?;
    }
    Ok(Angles { table, tokens: tokens32, half: half32, per_sequence: u32::from(offset.is_some()) })
}
