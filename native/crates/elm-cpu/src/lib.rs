//! Kernels for the CPU, one file an op, over a pool of threads.
//!
//! Work is split by shape and never by the number of threads, so the same bits come out at any number. Tasks run at
//! the SIMD [`level`] of the machine.

mod angles;
mod copy;
mod element;
mod elementary;
mod flash;
mod fold;
mod ids;
mod int;
mod inverse_normal;
pub mod level;
mod lines;
mod lists;
mod map;
mod math;
mod nd;
mod picked;
mod pool;
mod product;
mod quantized;
mod quantized_dots;
mod random;
mod row;
mod scratch;
mod simd;
mod skinny;
mod small_product;
mod softmax_loss;
mod stream_store;
#[cfg(test)]
mod testing;
mod turn;
mod view;

pub mod ops;

pub use copy::copy;
pub use element::{Element, Float};
pub use pool::Pool;
