//! Schemas of the positions of extremes.

use elm_core::{
    AttrDef, AttrKind, DType, Default, ErrorCode, FLOAT, Fill, Infer, OpDef, OpError, OracleCall,
    OracleOutput, Sample, Shape, Specs, TensorSpec, attr, input, sample,
};
use smallvec::smallvec;

use crate::rules::{ANY_SAME, flatten, indices};

pub static OPS: &[&OpDef] = &[&ARGMAX, &ARGMIN];

const ATTRS: &[AttrDef] = &[
    attr::new(
        "axis",
        AttrKind::Axis,
        Default::Absent,
        "The axis to search; the flattened tensor when absent.",
    ),
    attr::bool("keep_dims", false, "Keeps the searched axes with size 1."),
];

const POSITIONS: OpDef = OpDef {
    inputs: &[input("x")],
    attrs: ATTRS,
    infer,
    signatures: ANY_SAME,
    samples,
    differentiable: false,
    ..OpDef::EMPTY
};

static ARGMAX: OpDef = OpDef {
    name: "argmax",
    doc: "The position of the largest element along `axis`: the first of equals, and of the first NaN if there is one.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axis, which must not be empty. Dtypes: all → i32.",
    torch: "argmax",
    numpy: "argmax",
    oracle: |call| oracle(call, |a, b| a > b),
    ..POSITIONS
};

static ARGMIN: OpDef = OpDef {
    name: "argmin",
    doc: "The position of the smallest element along `axis`: the first of equals, and of the first NaN if there is one.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axis, which must not be empty. Dtypes: all → i32.",
    torch: "argmin",
    numpy: "argmin",
    oracle: |call| oracle(call, |a, b| a < b),
    ..POSITIONS
};

fn samples() -> Vec<Sample> {
    const EDGES: &[f64] = &[1.0, f64::INFINITY, -2.0, f64::NAN, 3.0, f64::NEG_INFINITY, f64::NAN, 0.0, -0.0];
    let along = |shape: &[usize], axis| sample(&[shape]).fill(0, Fill::Ints(0, 100)).int("axis", axis);
    let mut all: Vec<Sample> =
        [&[][..], &[1], &[33], &[7, 5], &[70, 611]].map(|s: &[usize]| sample(&[s])).into();
    for axis in [0, 1, -1] {
        all.extend([along(&[4, 33, 6], axis), along(&[3, 40, 130], axis), along(&[2, 1, 5], axis)]);
        all.push(sample(&[&[5, 30, 7]]).int("axis", axis).bool("keep_dims", true));
        all.push(sample(&[&[7, 4, 5]]).fill(0, Fill::Values(EDGES)).int("axis", axis).dtypes(FLOAT));
    }
    all.push(along(&[2, 20_000], 1));
    all.push(along(&[3, 0], 0));
    all.push(sample(&[&[4, 5]]).fill(0, Fill::Constant(1.0)));
    all.push(sample(&[&[4, 5]]).fill(0, Fill::Constant(f64::NAN)).dtypes(FLOAT).bool("keep_dims", true));
    all
}

fn infer(call: &Infer) -> Result<Specs, OpError> {
    let shape = call.shape(0);
    let axis = call.attrs.is_given("axis").then(|| call.axis("axis", shape.len())).transpose()?;
    let length = axis.map_or_else(|| shape.iter().product(), |axis| shape[axis]);
    let shape = remaining(shape, axis, call.attrs.bool("keep_dims"));
    if length == 0 && shape.iter().all(|&dim| dim > 0) {
        let message =
            format!("{} of no elements has no value; the searched axis of x has size 0", call.op.name);
        return Err(call.error(ErrorCode::InvalidArgument, message));
    }
    if i32::try_from(length).is_err() {
        return Err(
            call.shape_error(format!("positions are i32, but {length} elements are searched; give an axis"))
        );
    }
    Ok(smallvec![TensorSpec { dtype: DType::I32, shape }])
}

fn remaining(shape: &[usize], axis: Option<usize>, keep: bool) -> Shape {
    let gone = |i: usize| axis.is_none_or(|axis| axis == i);
    let axes = shape.iter().enumerate().filter(|(i, _)| keep || !gone(*i));
    axes.map(|(i, &dim)| if gone(i) { 1 } else { dim }).collect()
}

fn oracle(call: &OracleCall, better: fn(f64, f64) -> bool) -> Vec<OracleOutput> {
    let shape = call.shape(0);
    let axis = call.attrs.is_given("axis").then(|| call.attrs.axis("axis", shape.len()));
    let kept = remaining(shape, axis, true);
    let mut best: Vec<Option<(f64, usize)>> = vec![None; kept.iter().product()];
    for (flat, (index, &value)) in indices(shape).zip(call.values(0)).enumerate() {
        let at: Shape = index.iter().zip(&kept).map(|(&i, &dim)| if dim == 1 { 0 } else { i }).collect();
        let place = axis.map_or(flat, |axis| index[axis]);
        let slot = &mut best[flatten(&at, &kept)];
        match *slot {
            Some((held, _)) if held.is_nan() || !(value.is_nan() || better(value, held)) => (),
            _ => *slot = Some((value, place)),
        }
    }
    let places = best.into_iter().map(|slot| slot.expect("the shape rule refuses empty searches").1 as f64);
    vec![places.collect::<Vec<_>>().into()]
}
