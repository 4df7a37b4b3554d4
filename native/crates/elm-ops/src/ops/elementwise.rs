//! Schemas of the ops `y[i] = f(a[i], …)`.

use elm_core::{OpDef, Promotion, Sample, input, sample};

use crate::rules::{NUMERIC_SAME, broadcast, elementwise};

pub static OPS: &[&OpDef] = &[&ADD, &SUB, &MUL];

/// Broadcasts of every kind, with edges of the vector width.
fn binary_samples() -> Vec<Sample> {
    let shapes: [[&[usize]; 2]; 8] = [
        [&[], &[]],
        [&[0, 3], &[3]],
        [&[1], &[1]],
        [&[33], &[33]],
        [&[2, 3, 5], &[3, 5]],
        [&[4, 1], &[1, 7]],
        [&[17, 129], &[]],
        [&[129, 260], &[129, 260]],
    ];
    shapes.iter().map(|pair| sample(pair)).collect()
}

const BINARY: OpDef = OpDef {
    inputs: &[input("a"), input("b")],
    infer: broadcast,
    signatures: NUMERIC_SAME,
    samples: binary_samples,
    promotion: Promotion::Common,
    ..OpDef::EMPTY
};

static ADD: OpDef = OpDef {
    name: "add",
    doc: "`a + b`, elementwise.\n\nShapes broadcast. Dtypes: all but bool, promoted to the common one; integers wrap.",
    torch: "add",
    numpy: "add",
    oracle: |call| elementwise(call, |v| v[0] + v[1]),
    ..BINARY
};

static SUB: OpDef = OpDef {
    name: "sub",
    doc: "`a - b`, elementwise.\n\nShapes broadcast. Dtypes: all but bool, promoted to the common one; integers wrap.",
    torch: "sub",
    numpy: "subtract",
    oracle: |call| elementwise(call, |v| v[0] - v[1]),
    ..BINARY
};

static MUL: OpDef = OpDef {
    name: "mul",
    doc: "`a · b`, elementwise.\n\nShapes broadcast. Dtypes: all but bool, promoted to the common one; integers wrap.",
    torch: "mul",
    numpy: "multiply",
    oracle: |call| elementwise(call, |v| v[0] * v[1]),
    ..BINARY
};
