//! Matrix products at the speed of the arithmetic units: `C = A · B` or `C += A · B` of f32, f64, bf16 and f16
//! matrices with any strides.
//!
//! Both matrices are cut along `k` into blocks, packed into panels that a micro-kernel reads front to back, and
//! multiplied panel by panel with all sums of a small tile in registers (Goto and van de Geijn, "Anatomy of
//! High-Performance Matrix Multiplication", 2008). Half precision is widened while it is
//! packed; where the machine multiplies pairs of bf16, they stay bf16.
//!
//! Where packing would cost more than it gains, the micro-kernel reads a matrix as it lies. A product of few rows with
//! rows of weights is computed transposed for that.
//!
//! A sum over `k` is one chain of fused multiply-adds in each block, and the blocks are added in order. Neither the
//! other sizes nor the strides nor the number of threads change it, so they never change a bit of the result.

mod drive;
mod level;
mod matrix;
mod micro;
mod operand;
mod pack;
mod plan;
mod turn;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use drive::{Accumulator, Run, Serial, multiply};
pub use level::Level;
pub use matrix::Matrix;
pub use operand::{Operand, Output};
