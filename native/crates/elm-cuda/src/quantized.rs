//! Matrices in codes as kernels take them; `quantized.cuh` is the other half.

use elm_core::{Attrs, DType, View};

use crate::Gpu;
use crate::function::Param;
use crate::grid::Grid;
use crate::view::{Run, address};

/// Numbers that a thread reads at once.
pub const UNIT: usize = 8;

/// `Quantized<S>` of `quantized.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Quantized {
    codes: *mut u8,
    scales: *mut u8,
    biases: *mut u8,
    bits: u32,
    shift: u32,
    dim: u32,
}

// SAFETY: `repr(C)`, addresses and numbers; both sides pad to a multiple of 8 bytes.
unsafe impl Param for Quantized {}

impl Quantized {
    /// Of contiguous codes, scales and biases.
    pub fn new([codes, scales, biases]: [&View; 3], attrs: &Attrs) -> Quantized {
        let (bits, group) = (attrs.int("bits") as u32, attrs.int("group") as u32);
        let words = codes.shape().last().copied().unwrap_or(0) as u32;
        Quantized {
            codes: address(codes),
            scales: address(scales),
            biases: address(biases),
            bits,
            shift: group.trailing_zeros(),
            dim: words / bits * 32,
        }
    }

    /// Submits the kernel that writes `rows` rows as numbers of `to`.
    pub fn numbers(&self, gpu: &Gpu, rows: usize, dtypes: [DType; 2], to: *mut u8) -> Run {
        let units = rows * self.dim as usize / UNIT;
        let args: [&dyn Param; 3] = [&to, self, &(units as u64)];
        gpu.launch("quantize", "dequantize", &dtypes, Grid::over(units, &gpu.limits), &args)
    }

    /// The same as sums of [`terms`] numbers of half precision, the largest first, each matrix `apart` elements from the
    /// last.
    pub fn split(&self, gpu: &Gpu, rows: usize, dtypes: [DType; 2], to: *mut u8, apart: usize) -> Run {
        let units = rows * self.dim as usize / UNIT;
        let args: [&dyn Param; 4] = [&to, &(apart as u64), self, &(units as u64)];
        gpu.launch("quantize", "dequantize_split", &dtypes, Grid::over(units, &gpu.limits), &args)
    }
}

/// How many numbers of half precision hold one of f32.
pub fn terms(dtype: DType) -> usize {
    if dtype == DType::BF16 { 3 } else { 2 }
}
