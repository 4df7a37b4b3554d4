use elm_core::{OpDef, input, sample};

use crate::rules::{ANY_SAME, same_as_first};

pub static OPS: &[&OpDef] = &[&CONTIGUOUS];

static CONTIGUOUS: OpDef = OpDef {
    name: "contiguous",
    doc: "A row-major copy of `x`.\n\nShapes: `x` and `y` are `[...]`. Dtypes: all.",
    torch: "Tensor.contiguous",
    numpy: "ascontiguousarray",
    inputs: &[input("x")],
    infer: same_as_first,
    signatures: ANY_SAME,
    samples: || vec![sample(&[&[]]), sample(&[&[0, 3]]), sample(&[&[2, 3, 5]]), sample(&[&[130, 257]])],
    oracle: |call| vec![call.values(0).to_vec().into()],
    ..OpDef::EMPTY
};
