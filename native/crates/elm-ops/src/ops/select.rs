//! Schemas of the ops that choose between elements.

use elm_core::{
    AttrKind, DType, Default, ErrorCode, Fill, Infer, OpDef, OpError, Promotion, Sample, Signature, Specs,
    attr, input, sample,
};

use super::unary::EDGES;
use crate::rules::{NUMERIC_SAME, broadcast_as, elementwise, same_as_first};
use DType::{BF16, Bool, F16, F32, F64, I8, I32, I64, U8, U32};

pub static OPS: &[&OpDef] = &[&WHERE, &CLAMP];

const CHOICES: &[Signature] = &[
    &[Bool, F64],
    &[Bool, F32],
    &[Bool, BF16],
    &[Bool, F16],
    &[Bool, I64],
    &[Bool, I32],
    &[Bool, U32],
    &[Bool, I8],
    &[Bool, U8],
    &[Bool, Bool],
];

static WHERE: OpDef = OpDef {
    name: "where",
    doc: "`a` where `condition` holds and `b` elsewhere, elementwise.\n\n\
          Shapes broadcast. Dtypes: `condition` is bool; `a` and `b` any, promoted to the common one.",
    torch: "where",
    numpy: "where",
    inputs: &[input("condition").index(), input("a"), input("b")],
    infer: |call| broadcast_as(call, call.dtype(1)),
    signatures: CHOICES,
    samples: || {
        let shapes: [[&[usize]; 3]; 9] = [
            [&[], &[], &[]],
            [&[0, 3], &[3], &[]],
            [&[33], &[33], &[33]],
            [&[2, 3, 5], &[3, 5], &[5]],
            [&[4, 1], &[1, 7], &[4, 7]],
            [&[7], &[4, 1], &[2, 1, 1]],
            [&[17, 129], &[], &[17, 129]],
            [&[17, 129], &[17, 129], &[]],
            [&[129, 260], &[129, 260], &[129, 260]],
        ];
        let mut all: Vec<Sample> = shapes.iter().map(|s| sample(s).fill(0, Fill::Bool)).collect();
        all.push(
            sample(&[&[4, 1], &[EDGES.len()], &[]])
                .fill(0, Fill::Values(&[1.0, 0.0]))
                .fill(1, Fill::Values(EDGES)),
        );
        all
    },
    oracle: |call| elementwise(call, |v| if v[0] != 0.0 { v[1] } else { v[2] }),
    promotion: Promotion::Common,
    ..OpDef::EMPTY
};

static CLAMP: OpDef = OpDef {
    name: "clamp",
    doc: "`x` kept between `min` and `max`: `min(max(x, min), max)`, elementwise; NaN stays NaN.\n\n\
          At least one bound is given, neither is NaN. Integers keep to the whole numbers between the bounds.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: all but bool.",
    torch: "clamp",
    numpy: "clip",
    inputs: &[input("x")],
    attrs: &[
        attr::new("min", AttrKind::F64, Default::Absent, "The least value of the result."),
        attr::new("max", AttrKind::F64, Default::Absent, "The greatest value of the result."),
    ],
    infer: clamp_infer,
    signatures: NUMERIC_SAME,
    samples: || {
        let shapes: [&[usize]; 5] = [&[], &[0, 3], &[33], &[4, 1, 7], &[17, 1100]];
        let mut all: Vec<Sample> =
            shapes.iter().map(|s| sample(&[s]).f64("min", -0.5).f64("max", 1.0)).collect();
        let wide = || sample(&[&[40]]).fill(0, Fill::Uniform(-20.0, 20.0));
        all.extend([wide().f64("min", 0.0), wide().f64("max", 2.5), wide().f64("min", 3.0).f64("max", -1.0)]);
        all.push(wide().f64("min", f64::NEG_INFINITY).f64("max", f64::INFINITY));
        all.push(sample(&[&[EDGES.len()]]).fill(0, Fill::Values(EDGES)).f64("min", -2.0).f64("max", 70.0));
        all
    },
    oracle: |call| {
        let bound = |name| call.attrs.is_given(name).then(|| call.attrs.f64(name));
        let whole = !call.spec(0).dtype.is_float();
        let low = bound("min").map(|low| if whole { low.ceil() } else { low });
        let high = bound("max").map(|high| if whole { high.floor() } else { high });
        let up = |x: f64| low.map_or(x, |low| if x < low { low } else { x });
        let down = |x: f64| high.map_or(x, |high| if x > high { high } else { x });
        let dtype = call.spec(0).dtype;
        // A bound beyond the ends of an integer dtype is its end.
        let ends = |y: f64| if whole { y.clamp(least(dtype), greatest(dtype)) } else { y };
        elementwise(call, |v| ends(down(up(v[0]))))
    },
    ..OpDef::EMPTY
};

fn least(dtype: DType) -> f64 {
    if dtype.is_signed() { -(2f64.powi(dtype.size() as i32 * 8 - 1)) } else { 0.0 }
}

fn greatest(dtype: DType) -> f64 {
    2f64.powi(dtype.size() as i32 * 8 - i32::from(dtype.is_signed())) - 1.0
}

fn clamp_infer(call: &Infer) -> Result<Specs, OpError> {
    let given: Vec<&str> = ["min", "max"].into_iter().filter(|name| call.attrs.is_given(name)).collect();
    if given.is_empty() {
        return Err(call.error(ErrorCode::InvalidArgument, "min and max are both missing; give at least one"));
    }
    if let Some(name) = given.into_iter().find(|name| call.attrs.f64(name).is_nan()) {
        return Err(call.error(ErrorCode::InvalidArgument, format!("{name} must not be NaN")));
    }
    same_as_first(call)
}
