//! Kernels for the CPU, one file an op, over a pool of threads.
//!
//! Work is split by shape and never by the number of threads, so the same bits come out at any number.

mod element;
mod elementary;
mod fold;
mod int;
mod lines;
mod map;
mod math;
mod nd;
mod pool;
mod row;
mod view;

pub mod ops;

pub use element::{Element, Float};
pub use ops::copy;
pub use pool::Pool;
