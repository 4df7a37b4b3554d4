//! Products of matrices of more than a few rows, by crate `elm-gemm`, over the pool or on one thread.

use elm_gemm::{Accumulator, Operand, Output, Run, Serial};

pub use elm_gemm::Matrix;

use crate::Pool;
use crate::element::Float;
use crate::level::{self, Level};

/// A float dtype whose products `elm-gemm` sums in the accumulator of the kernels.
pub trait Factor:
    Float<Acc: Accumulator> + Operand<Sum = <Self as Float>::Acc> + Output<Sum = <Self as Float>::Acc>
{
}
impl<T> Factor for T where
    T: Float<Acc: Accumulator> + Operand<Sum = <T as Float>::Acc> + Output<Sum = <T as Float>::Acc>
{
}

impl Run for Pool {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        Pool::run(self, tasks, task);
    }
}

/// The micro-kernels for the level in use.
fn level() -> elm_gemm::Level {
    match level::level() {
        Level::Avx512 if level::extensions().bf16 => elm_gemm::Level::Avx512Bf16,
        Level::Avx512 => elm_gemm::Level::Avx512,
        Level::Avx2 => elm_gemm::Level::Avx2,
        Level::Neon | Level::Portable => elm_gemm::Level::Portable,
    }
}

/// `out = left · right`, or added to `out`, for sizes `[m, n, k]`.
///
/// # Safety
/// The matrices lie inside live storages of these sizes and nobody else touches `out`.
pub unsafe fn multiply<A, B, Y>(
    pool: &Pool,
    size: [usize; 3],
    left: Matrix<A>,
    right: Matrix<B>,
    out: Matrix<Y>,
    add: bool,
) where
    A: Factor,
    B: Factor<Acc = A::Acc>,
    Y: Factor<Acc = A::Acc>,
{
    // SAFETY: passed on from the caller; the level is one that this machine has.
    unsafe { elm_gemm::multiply(pool, level(), size, left, right, out, add) };
}

/// As [`multiply`], on this thread.
///
/// # Safety
/// As for [`multiply`].
pub unsafe fn multiply_alone<A, B, Y>(size: [usize; 3], left: Matrix<A>, right: Matrix<B>, out: Matrix<Y>)
where
    A: Factor,
    B: Factor<Acc = A::Acc>,
    Y: Factor<Acc = A::Acc>,
{
    // SAFETY: passed on from the caller; the level is one that this machine has.
    unsafe { elm_gemm::multiply(&Serial, level(), size, left, right, out, false) };
}
