//! The checks behind the binary, as functions, so that they can be tested themselves.
#![forbid(unsafe_code)]

mod chains;
mod check;
mod compare;
mod inputs;
mod tuned;

pub use chains::check_chains;
pub use check::{Report, Tamper, check_op, check_op_with};
pub use tuned::{Tuned, check_tuned};
