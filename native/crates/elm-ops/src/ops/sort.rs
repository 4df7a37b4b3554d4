//! Schemas of sorting along an axis.

use std::cmp::Ordering;

use elm_core::{
    AttrKind, DType, ErrorCode, FLOAT, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Sample, Shape,
    Specs, TensorSpec, attr, input, public, sample,
};
use smallvec::smallvec;

use crate::rules::{ANY_SAME, along_axis};

pub static OPS: &[&OpDef] = &[&SORT, &TOPK];

const EDGES: &[f64] =
    &[2.0, f64::NAN, f64::INFINITY, -0.0, 0.0, f64::NEG_INFINITY, f64::NAN, -1.0, 2.0, 0.0, 1e-30];

static SORT: OpDef = OpDef {
    name: "sort",
    doc: "The elements in order along `axis`, with their former positions: stable, NaN last in either direction.\n\n\
          Shapes: `x`, `values` and `indices` are `[...]`. Dtypes: all; `indices` is i32.",
    torch: "sort",
    numpy: "sort",
    inputs: &[input("x")],
    attrs: &[
        attr::axis("axis", -1, "The axis to sort along."),
        attr::bool("descending", false, "Whether the largest comes first."),
    ],
    outputs: &[public("values"), public("indices")],
    infer: |call| {
        let axis = call.axis("axis", call.shape(0).len())?;
        outputs(call, axis, call.shape(0)[axis])
    },
    signatures: ANY_SAME,
    samples: || {
        let both = |s: Sample| [s.clone(), s.bool("descending", true)];
        let mut all: Vec<Sample> = [sample(&[&[1]]), sample(&[&[0, 3]]), sample(&[&[3, 0]])].into();
        for axis in [0, 1, -1] {
            all.extend(both(sample(&[&[5, 33, 3]]).int("axis", axis)));
            all.extend(both(sample(&[&[4, 30, 6]]).fill(0, Fill::Ints(0, 5)).int("axis", axis)));
            all.extend(both(
                sample(&[&[6, 7, 22]]).fill(0, Fill::Values(EDGES)).int("axis", axis).dtypes(FLOAT),
            ));
        }
        all.extend(both(sample(&[&[2, 3000]]).fill(0, Fill::Ints(-1000, 1000))));
        all
    },
    oracle: |call| oracle(call, call.attrs.bool("descending"), usize::MAX),
    ..OpDef::EMPTY
};

static TOPK: OpDef = OpDef {
    name: "topk",
    doc: "The `k` largest (or smallest) elements along `axis` in order, with their positions: ties by the lower \
          position, NaN after all numbers.\n\n\
          Shapes: `x` is `[..., n, ...]`, `values` and `indices` are `[..., k, ...]`, `k ≤ n`. Dtypes: all; `indices` \
          is i32.",
    torch: "topk",
    numpy: "",
    inputs: &[input("x")],
    attrs: &[
        attr::positional("k", AttrKind::Int, "How many elements to keep."),
        attr::axis("axis", -1, "The axis to search."),
        attr::bool("largest", true, "Whether to keep the largest or the smallest."),
    ],
    outputs: &[public("values"), public("indices")],
    infer: |call| {
        let axis = call.axis("axis", call.shape(0).len())?;
        let (k, size) = (call.attrs.int("k"), call.shape(0)[axis]);
        match usize::try_from(k) {
            Ok(k) if k <= size => outputs(call, axis, k),
            _ => Err(call.error(
                ErrorCode::InvalidArgument,
                format!("k must lie between 0 and the size of axis {axis}, which is {size}, got {k}"),
            )),
        }
    },
    signatures: ANY_SAME,
    samples: || {
        let both = |s: Sample| [s.clone(), s.bool("largest", false)];
        let mut all: Vec<Sample> = Vec::new();
        for axis in [0, 1, -1] {
            all.extend(both(sample(&[&[5, 33, 4]]).int("axis", axis).int("k", 3)));
            all.extend(both(sample(&[&[4, 30, 6]]).fill(0, Fill::Ints(0, 5)).int("axis", axis).int("k", 4)));
            all.extend(both(
                sample(&[&[6, 7, 22]])
                    .fill(0, Fill::Values(EDGES))
                    .int("axis", axis)
                    .int("k", 6)
                    .dtypes(FLOAT),
            ));
        }
        all.extend([
            sample(&[&[1]]).int("k", 1),
            sample(&[&[2, 3]]).int("k", 0),
            sample(&[&[0, 3]]).int("k", 2),
        ]);
        all.extend([sample(&[&[2, 17]]).int("k", 17), sample(&[&[2, 3000]]).int("k", 40)]);
        all
    },
    oracle: |call| oracle(call, call.attrs.bool("largest"), call.attrs.int("k") as usize),
    ..OpDef::EMPTY
};

fn outputs(call: &Infer, axis: usize, size: usize) -> Result<Specs, OpError> {
    if i32::try_from(call.shape(0)[axis]).is_err() {
        return Err(call.shape_error(format!(
            "positions are i32, but axis {axis} has {} elements",
            call.shape(0)[axis]
        )));
    }
    let mut shape = Shape::from_slice(call.shape(0));
    shape[axis] = size;
    Ok(smallvec![TensorSpec::new(call.dtype(0), &shape), TensorSpec { dtype: DType::I32, shape }])
}

fn oracle(call: &OracleCall, descending: bool, keep: usize) -> Vec<OracleOutput> {
    let axis = call.attrs.axis("axis", call.shape(0).len());
    let order = |line: &[f64]| {
        let mut order: Vec<usize> = (0..line.len()).collect();
        order.sort_by(|&a, &b| match (line[a].is_nan(), line[b].is_nan()) {
            (false, false) if descending => line[b].partial_cmp(&line[a]).unwrap_or(Ordering::Equal),
            (false, false) => line[a].partial_cmp(&line[b]).unwrap_or(Ordering::Equal),
            (a, b) => a.cmp(&b),
        });
        order.truncate(keep);
        order
    };
    let over = |f: &dyn Fn(&[f64], usize) -> f64| -> OracleOutput {
        let pick = |line: &[f64]| order(line).into_iter().map(|i| f(line, i)).collect();
        along_axis(call.shape(0), axis, call.values(0), pick).into()
    };
    vec![over(&|line, i| line[i]), over(&|_, i| i as f64)]
}
