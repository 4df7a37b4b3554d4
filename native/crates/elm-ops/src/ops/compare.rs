//! Schemas of the ops `y[i] = a[i] ? b[i]` that give bool.

use elm_core::{DType, Fill, OpDef, Promotion, input};

use super::binary::binary_samples;
use crate::rules::{ANY_SAME, broadcast_as, elementwise};

const COMPARE: OpDef = OpDef {
    inputs: &[input("a"), input("b")],
    infer: |call| broadcast_as(call, DType::Bool),
    signatures: ANY_SAME,
    samples: || {
        // Whole numbers of a small range, so that many pairs are equal.
        let close =
            binary_samples().into_iter().filter(|s| s.only.is_empty()).map(|s| s.fill_all(Fill::Ints(0, 3)));
        close.chain([super::binary::edges()]).collect()
    },
    promotion: Promotion::Common,
    differentiable: false,
    ..OpDef::EMPTY
};

macro_rules! op {
    ($name:literal, $numpy:literal, $sign:literal, $truth:expr) => {
        &OpDef {
            name: $name,
            doc: concat!("Whether `a ", $sign, " b`, elementwise; false where either is NaN.\n\nShapes broadcast. Dtypes: all, promoted to the common one → bool."),
            torch: $name,
            numpy: $numpy,
            oracle: |call| {
                let truth: fn(&f64, &f64) -> bool = $truth;
                elementwise(call, |v| f64::from(u8::from(truth(&v[0], &v[1]))))
            },
            ..COMPARE
        }
    };
}

pub static OPS: &[&OpDef] = &[
    op!("eq", "equal", "=", f64::eq),
    &OpDef {
        name: "ne",
        doc: "Whether `a ≠ b`, elementwise; true where either is NaN.\n\n\
              Shapes broadcast. Dtypes: all, promoted to the common one → bool.",
        torch: "ne",
        numpy: "not_equal",
        oracle: |call| elementwise(call, |v| f64::from(u8::from(v[0] != v[1]))),
        ..COMPARE
    },
    op!("lt", "less", "<", f64::lt),
    op!("le", "less_equal", "≤", f64::le),
    op!("gt", "greater", ">", f64::gt),
    op!("ge", "greater_equal", "≥", f64::ge),
];
