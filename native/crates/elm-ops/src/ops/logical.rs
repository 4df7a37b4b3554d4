//! Schemas of the ops on truth values and on bits.

use elm_core::{Fill, OpDef, Promotion, Sample, input};

use super::binary::binary_samples;
use crate::rules::{BITS_SAME, BOOL_SAME, broadcast, elementwise};

fn whole(fill: Fill) -> Vec<Sample> {
    binary_samples().into_iter().filter(|s| s.only.is_empty()).map(|s| s.fill_all(fill)).collect()
}

/// The first inputs of [`whole`] alone.
fn single(fill: Fill) -> Vec<Sample> {
    let mut samples = whole(fill);
    samples.iter_mut().for_each(|s| s.inputs.truncate(1));
    samples
}

const LOGICAL: OpDef = OpDef {
    inputs: &[input("a"), input("b")],
    infer: broadcast,
    signatures: BOOL_SAME,
    samples: || whole(Fill::Bool),
    differentiable: false,
    ..OpDef::EMPTY
};
const BITWISE: OpDef = OpDef {
    signatures: BITS_SAME,
    samples: || whole(Fill::Ints(-100, 128)),
    promotion: Promotion::Common,
    ..LOGICAL
};

macro_rules! logical {
    ($name:literal, $doc:literal, $truth:expr) => {
        &OpDef {
            name: $name,
            doc: concat!($doc, ", elementwise.\n\nShapes broadcast. Dtypes: bool."),
            torch: $name,
            numpy: $name,
            oracle: |call| {
                let truth: fn(bool, bool) -> bool = $truth;
                elementwise(call, |v| f64::from(u8::from(truth(v[0] != 0.0, v[1] != 0.0))))
            },
            ..LOGICAL
        }
    };
}
macro_rules! bitwise {
    ($name:literal, $doc:literal, $truth:expr) => {
        &OpDef {
            name: $name,
            doc: concat!($doc, " of each bit, elementwise.\n\nShapes broadcast. Dtypes: integers and bool, promoted to the common one."),
            torch: $name,
            numpy: $name,
            oracle: |call| {
                let truth: fn(i64, i64) -> i64 = $truth;
                elementwise(call, |v| truth(v[0] as i64, v[1] as i64) as f64)
            },
            ..BITWISE
        }
    };
}

pub static OPS: &[&OpDef] = &[
    logical!("logical_and", "`a and b`", |a, b| a & b),
    logical!("logical_or", "`a or b`", |a, b| a | b),
    logical!("logical_xor", "Whether `a` and `b` differ", |a, b| a ^ b),
    bitwise!("bitwise_and", "`a and b`", |a, b| a & b),
    bitwise!("bitwise_or", "`a or b`", |a, b| a | b),
    bitwise!("bitwise_xor", "`a xor b`", |a, b| a ^ b),
    &LOGICAL_NOT,
    &BITWISE_NOT,
];

static LOGICAL_NOT: OpDef = OpDef {
    name: "logical_not",
    doc: "`not x`, elementwise.\n\nShapes: `x` and `y` are `[...]`. Dtypes: bool.",
    torch: "logical_not",
    numpy: "logical_not",
    inputs: &[input("x")],
    samples: || single(Fill::Bool),
    oracle: |call| elementwise(call, |v| 1.0 - v[0]),
    ..LOGICAL
};

static BITWISE_NOT: OpDef = OpDef {
    name: "bitwise_not",
    doc: "Every bit of `x` turned over (`−x − 1` for signed integers, `not x` for bool), elementwise.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: integers and bool.",
    torch: "bitwise_not",
    numpy: "bitwise_not",
    inputs: &[input("x")],
    samples: || single(Fill::Ints(-100, 128)),
    oracle: |call| {
        let truth = call.spec(0).dtype == elm_core::DType::Bool;
        elementwise(call, |v| if truth { 1.0 - v[0] } else { -v[0] - 1.0 })
    },
    promotion: Promotion::None,
    ..BITWISE
};
