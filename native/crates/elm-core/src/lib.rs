//! The words that every other crate speaks: dtypes, shapes, layouts, the schema of an op, errors.
//!
//! Nothing here runs a kernel or knows a device.
#![forbid(unsafe_code)]

mod attrs;
mod dtype;
mod error;
mod infer;
mod kernel;
mod layout;
mod op;
pub mod philox;
mod promote;
mod sample;

pub use attrs::{Attr, AttrDef, AttrKind, Attrs, Default, Ints, attr};
pub use dtype::{DType, FLOAT, INDEX, INT, NUMERIC};
pub use error::{ErrorCode, OpError};
pub use half::{bf16, f16};
pub use infer::{Arg, Infer};
pub use kernel::{Kernel, KernelCall, KernelError, View};
pub use layout::{Layout, MAX_RANK, Shape, Strides, TensorSpec, elements};
pub use op::{
    Arity, Autocast, InputDef, OpDef, OracleCall, OracleOutput, OutputDef, Promotion, Signature, Specs,
    input, list, mutable, optional, public, saved,
};
pub use promote::promote;
pub use sample::{Fill, Sample, SampleInput, sample};

#[cfg(target_endian = "big")]
compile_error!("OpenELM reads and writes little-endian data in place");
