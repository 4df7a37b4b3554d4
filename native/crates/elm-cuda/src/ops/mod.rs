//! One file an op; `generated.rs` lists them.

mod generated;

pub use generated::KERNELS;
