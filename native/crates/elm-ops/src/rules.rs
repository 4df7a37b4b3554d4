//! Shape rules, signatures and oracle steps that several ops share.

use elm_core::{
    DType, FLOAT, Infer, Layout, NUMERIC, OpError, OracleCall, OracleOutput, Shape, Signature, Specs,
    TensorSpec,
};
use smallvec::smallvec;

use DType::{BF16, Bool, F16, F32, F64, I8, I32, I64, U8, U32};

/// One float input.
pub const FLOAT1: &[Signature] = &[&[F64], &[F32], &[BF16], &[F16]];
/// Two or more inputs of one float dtype (the last entry of a signature repeats).
pub const FLOAT_SAME: &[Signature] = FLOAT1;
/// Any number of inputs of one dtype that can be added.
pub const NUMERIC_SAME: &[Signature] =
    &[&[F64], &[F32], &[BF16], &[F16], &[I64], &[I32], &[U32], &[I8], &[U8]];
/// Any number of inputs of one dtype.
pub const ANY_SAME: &[Signature] =
    &[&[F64], &[F32], &[BF16], &[F16], &[I64], &[I32], &[U32], &[I8], &[U8], &[Bool]];
/// Integers, for shifts and remainders of whole numbers.
pub const INT_SAME: &[Signature] = &[&[I64], &[I32], &[U32], &[I8], &[U8]];
/// bool and integers, for bitwise ops.
pub const BITS_SAME: &[Signature] = &[&[I64], &[I32], &[U32], &[I8], &[U8], &[Bool]];
/// Logical inputs.
pub const BOOL_SAME: &[Signature] = &[&[Bool]];

const _: () = assert!(FLOAT.len() == FLOAT1.len() && NUMERIC.len() == NUMERIC_SAME.len());

/// One output like the first input.
pub fn same_as_first(call: &Infer) -> Result<Specs, OpError> {
    Ok(smallvec![call.arg(0).spec()])
}

/// One output of the broadcast shape in the dtype of the first input.
pub fn broadcast(call: &Infer) -> Result<Specs, OpError> {
    broadcast_as(call, call.dtype(0))
}

/// The same in another dtype.
pub fn broadcast_as(call: &Infer, dtype: DType) -> Result<Specs, OpError> {
    Ok(smallvec![TensorSpec { dtype, shape: call.broadcast_all()? }])
}

/// Indices of every element of `shape`, row-major.
pub fn indices(shape: &[usize]) -> impl Iterator<Item = Shape> + '_ {
    (0..shape.iter().product::<usize>()).map(move |flat| unflatten(flat, shape))
}

/// The index of row-major position `flat`.
pub fn unflatten(mut flat: usize, shape: &[usize]) -> Shape {
    let mut index = Shape::from_elem(0, shape.len());
    for (i, dim) in index.iter_mut().zip(shape).rev() {
        *i = flat % dim;
        flat /= dim;
    }
    index
}

/// The row-major position of `index`.
pub fn flatten(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |flat, (i, dim)| flat * dim + i)
}

/// `f` over the broadcast inputs, one value each.
pub fn elementwise(call: &OracleCall, f: impl Fn(&[f64]) -> f64) -> Vec<OracleOutput> {
    let shape = &call.outputs[0].shape;
    let layouts: Vec<Layout> = (0..call.inputs.len())
        .map(|i| Layout::contiguous(call.shape(i)).broadcast_to(shape).expect("checked by the shape rule"))
        .collect();
    let values = indices(shape)
        .map(|index| {
            let at = |layout: &Layout| {
                index.iter().zip(&layout.strides).map(|(&i, &s)| i as isize * s).sum::<isize>()
            };
            let args: Vec<f64> =
                layouts.iter().enumerate().map(|(i, layout)| call.values(i)[at(layout) as usize]).collect();
            f(&args)
        })
        .collect::<Vec<f64>>();
    vec![values.into()]
}

/// Rows over the last axis: `(row, values)`.
pub fn rows<'a>(shape: &[usize], values: &'a [f64]) -> std::slice::ChunksExact<'a, f64> {
    values.chunks_exact(shape.last().copied().unwrap_or(1).max(1))
}

/// No output; the n-th tensors of all lists have one shape.
pub fn same_shapes(call: &Infer) -> Result<Specs, OpError> {
    let fixed = call.op.fixed_inputs();
    let range = |index| call.op.input_range(index, call.inputs.len());
    for index in fixed + 1..call.op.inputs.len() {
        for (first, other) in range(fixed).zip(range(index)) {
            call.require_shape(other, call.shape(first), "the tensor of the first list at the same place")?;
        }
    }
    Ok(Specs::new())
}
/// `f` of every line along `axis`, put back along it; `f` gives lines of one length.
pub fn along_axis(shape: &[usize], axis: usize, values: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    along_axis2(shape, axis, values, values, |line, _| f(line))
}

/// The same for two operands of one shape.
pub fn along_axis2(
    shape: &[usize],
    axis: usize,
    a: &[f64],
    b: &[f64],
    f: impl Fn(&[f64], &[f64]) -> Vec<f64>,
) -> Vec<f64> {
    let (length, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let outer = shape[..axis].iter().product::<usize>();
    let mut out = Vec::new();
    for block in 0..outer {
        let line = |values: &[f64], j: usize| -> Vec<f64> {
            (0..length).map(|i| values[(block * length + i) * inner + j]).collect()
        };
        let lines: Vec<Vec<f64>> = (0..inner).map(|j| f(&line(a, j), &line(b, j))).collect();
        for i in 0..lines.first().map_or(0, Vec::len) {
            out.extend(lines.iter().map(|line| line[i]));
        }
    }
    out
}
