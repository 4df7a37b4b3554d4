//! Attributes of random ops as kernels take them; `philox.cuh` is the other half.

use elm_core::Attrs;

/// The stream and the first block of words.
pub fn stream(attrs: &Attrs) -> [u64; 2] {
    [attrs.int("seed") as u64, attrs.int("counter") as u64]
}

/// The least whole number `t` such that `word >> 8 < t` has probability `p`: then 24 bits over 2²⁴ are below `p`.
pub fn threshold(p: f64) -> u32 {
    (p * 16_777_216.0).ceil() as u32
}
