//! One file an op; `generated.rs` lists them.

mod generated;

pub use generated::KERNELS;
pub(crate) use generated::add_rms_norm::KEPT as KEPT_OF_BOTH;
pub(crate) use generated::attention::InClusters;
pub(crate) use generated::matmul::RowProduct;
pub(crate) use generated::qk_norm_rope::weight_dtype;
pub(crate) use generated::qk_norm_rope_cache::{Caches, simple_heads};
