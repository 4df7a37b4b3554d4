//! What ops with an index input share: signatures, the checks of their axis, the meaning of an index.

use elm_core::{DType, ErrorCode, Infer, OpError, Signature};

use DType::{BF16, Bool, F16, F32, F64, I8, I32, I64, U8, U32};

macro_rules! signatures {
    ($($dtype:ident)* => $make:ident) => { &[$($make!($dtype)),*] };
}
macro_rules! indexed {
    ($dtype:ident) => {
        &[$dtype, I32]
    };
}
macro_rules! updated {
    ($dtype:ident) => {
        &[$dtype, I32, $dtype]
    };
}

/// A tensor of any dtype, then indices.
pub const ANY_INDEXED: &[Signature] = signatures!(F64 F32 BF16 F16 I64 I32 U32 I8 U8 Bool => indexed);
/// A float tensor, then indices.
pub const FLOAT_INDEXED: &[Signature] = signatures!(F64 F32 BF16 F16 => indexed);
/// A tensor of any dtype, indices, and what goes there.
pub const ANY_UPDATED: &[Signature] = signatures!(F64 F32 BF16 F16 I64 I32 U32 I8 U8 Bool => updated);
/// The same for dtypes that can be added.
pub const NUMERIC_UPDATED: &[Signature] = signatures!(F64 F32 BF16 F16 I64 I32 U32 I8 U8 => updated);

/// The attribute `axis` of an input of this shape, which an i32 must be able to index.
pub fn indexed_axis(call: &Infer, shape: &[usize]) -> Result<usize, OpError> {
    let axis = call.axis("axis", shape.len())?;
    if shape[axis] > 1 << 31 {
        let message = format!("axis {axis} has {} elements, more than an i32 can index", shape[axis]);
        return Err(call.error(ErrorCode::InvalidArgument, message));
    }
    Ok(axis)
}

/// Refuses indices whose shape differs from that of input 0 elsewhere than along `axis`.
pub fn require_along(call: &Infer, axis: usize) -> Result<(), OpError> {
    let (x, indices) = (call.shape(0), call.shape(1));
    let fits =
        x.len() == indices.len() && (0..x.len()).all(|other| other == axis || x[other] == indices[other]);
    if fits {
        return Ok(());
    }
    Err(call.shape_error(format!(
        "indices must have the shape of x except along axis {axis}, got {indices:?} for {x:?}; broadcast it first"
    )))
}

/// Where an index points; negative ones count from the end.
pub fn wrap(index: f64, size: usize) -> usize {
    let wrapped = if index < 0.0 { index + size as f64 } else { index };
    assert!((0.0..size as f64).contains(&wrapped), "samples hold indices in range");
    wrapped as usize
}

/// `shape` as `[outer, axis, inner]`: elements before, along and after `axis`.
pub fn split(shape: &[usize], axis: usize) -> [usize; 3] {
    [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
}
