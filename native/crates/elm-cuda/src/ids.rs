//! Indices that are looked at before anything is moved; `ids.cu` is the other half.

use elm_core::View;

use crate::Gpu;
use crate::driver::Result;
use crate::grid::Grid;
use crate::nd::Nd;
use crate::view::address;

/// Reports the first of `indices` outside an axis of `size`. `last`, zeroes at first, then has for each place of the axis
/// the last position that names it plus 1; it may be null.
pub fn check(gpu: &Gpu, indices: &View, size: usize, word: *mut u8, last: *mut u8) -> Result<()> {
    let n = indices.elements();
    assert!(last.is_null() || u32::try_from(n + 1).is_ok(), "fewer than 2³² indices in one call");
    let nd = Nd::new([&indices.layout]);
    let (n64, size) = (n as u64, size as i64);
    let args: [&dyn crate::Param; 6] = [&address(indices), &nd, &n64, &size, &word, &last];
    gpu.launch("ids", "ids_check", &[], Grid::over(n, &gpu.limits), &args)
}
