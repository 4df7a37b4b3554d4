use elm_core::{OpDef, Sample, input, sample};

use crate::rules::{ANY_SAME, same_as_first};

pub static OPS: &[&OpDef] = &[&CONTIGUOUS, &COPY];

/// The edges of a tile of a transposed copy, and rows of every kind.
fn samples() -> Vec<Sample> {
    let shapes: [&[usize]; 8] =
        [&[], &[0, 3], &[1], &[2, 3, 5], &[31, 33], &[32, 64], &[3, 1, 40, 2], &[130, 257]];
    shapes.iter().map(|&shape| sample(&[shape])).collect()
}

static CONTIGUOUS: OpDef = OpDef {
    name: "contiguous",
    doc: "`x` in row-major order: a view if it lies so already, else a copy.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: all.",
    torch: "Tensor.contiguous",
    numpy: "ascontiguousarray",
    inputs: &[input("x")],
    infer: same_as_first,
    view: Some(|call| Ok(Some(call.arg(0).layout.clone()).filter(|layout| layout.is_contiguous()))),
    signatures: ANY_SAME,
    samples,
    oracle: |call| vec![call.values(0).to_vec().into()],
    ..OpDef::EMPTY
};

static COPY: OpDef = OpDef {
    name: "copy",
    doc: "A row-major copy of `x` in memory of its own.\n\nShapes: `x` and `y` are `[...]`. Dtypes: all.",
    torch: "clone",
    numpy: "copy",
    inputs: &[input("x")],
    infer: same_as_first,
    signatures: ANY_SAME,
    samples,
    oracle: |call| vec![call.values(0).to_vec().into()],
    ..OpDef::EMPTY
};
