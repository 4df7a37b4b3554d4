//! Kernels for the CPU, one file an op, over a pool of threads.
//!
//! Work is split by shape and never by the number of threads, so the same bits come out at any number.

mod angles;
mod copy;
mod element;
mod elementary;
mod flash;
mod fold;
mod ids;
mod int;
mod inverse_normal;
mod lines;
mod lists;
mod map;
mod math;
mod nd;
mod picked;
mod pool;
mod quantized;
mod quantized_dots;
mod random;
mod row;
mod scratch;
mod simd;
mod skinny;
mod small_product;
mod softmax_loss;
#[cfg(test)]
mod testing;
mod tile;
mod view;

pub mod ops;

pub use copy::copy;
pub use element::{Element, Float};
pub use pool::Pool;
pub use simd::level as simd_level;
