//! Schemas of the reductions over any set of axes.

use elm_core::{
    AttrDef, DType, ErrorCode, FLOAT, Fill, INT, Infer, OpDef, OpError, OracleCall, OracleOutput, Promotion,
    Sample, Shape, Specs, TensorSpec, attr, input, sample,
};
use smallvec::smallvec;

use crate::rules::{ANY_SAME, FLOAT1, flatten, indices};

pub static OPS: &[&OpDef] = &[&SUM, &PROD, &MEAN, &MAX, &MIN, &ANY, &ALL, &LOGSUMEXP];

const ATTRS: &[AttrDef] = &[
    attr::axes("axis", "The axes to reduce; all when absent."),
    attr::bool("keep_dims", false, "Keeps the reduced axes with size 1."),
];

const REDUCE: OpDef = OpDef {
    inputs: &[input("x")],
    attrs: ATTRS,
    signatures: ANY_SAME,
    samples: || samples(Fill::Uniform(-2.0, 2.0)),
    tolerance: 8.0,
    ..OpDef::EMPTY
};

const FLOATS: OpDef = OpDef {
    infer: |call| reduced(call, call.dtype(0)),
    signatures: FLOAT1,
    promotion: Promotion::Float,
    ..REDUCE
};
/// Reductions that have no value over nothing.
const EXTREMES: OpDef = OpDef {
    infer: |call| {
        refuse_empty(call)?;
        reduced(call, call.dtype(0))
    },
    samples: || {
        const EDGES: &[f64] = &[1.0, f64::NAN, 3.0, f64::INFINITY, -2.0, f64::NEG_INFINITY, 0.0];
        let mut all = samples(Fill::Uniform(-2.0, 2.0));
        all.retain(|s| s.inputs[0].as_ref().is_none_or(|x| x.shape.as_slice() != [0, 3]));
        for axis in [0, 1] {
            let edges = |shape: &[usize]| sample(&[shape]).fill(0, Fill::Values(EDGES)).ints("axis", &[axis]);
            all.extend([edges(&[20, 41]).dtypes(FLOAT), edges(&[3, 4]).dtypes(FLOAT)]);
        }
        all
    },
    ..REDUCE
};
const TESTS: OpDef = OpDef {
    infer: |call| reduced(call, DType::Bool),
    samples: || {
        let fills = [Fill::Bool, Fill::Constant(0.0), Fill::Constant(1.0)];
        let mut all: Vec<Sample> = fills.into_iter().flat_map(samples).collect();
        // A single element decides.
        const ONE: &[f64] = &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        const BUT_ONE: &[f64] = &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
        all.push(sample(&[&[6, 17]]).fill(0, Fill::Values(ONE)).ints("axis", &[1]));
        all.push(sample(&[&[6, 17]]).fill(0, Fill::Values(BUT_ONE)).ints("axis", &[0]));
        all.push(
            sample(&[&[4, 3]]).fill(0, Fill::Values(&[f64::NAN, -0.0, 0.0])).dtypes(FLOAT).ints("axis", &[0]),
        );
        all
    },
    differentiable: false,
    ..REDUCE
};

/// Inner, outer, middle, several and all axes; blocks of a long reduction; nothing to reduce.
fn samples(fill: Fill) -> Vec<Sample> {
    let cases: [(&[usize], &[i64]); 11] = [
        (&[0, 3], &[0]),
        (&[3, 0], &[0]),
        (&[7, 33], &[1]),
        (&[7, 33], &[0]),
        (&[2, 3, 5, 4], &[1, 3]),
        (&[2, 3, 5, 4], &[0, -2]),
        (&[3, 1, 4], &[1]),
        (&[300, 65], &[0]),
        (&[2, 301, 70], &[1]),
        (&[2, 20_000], &[-1]),
        (&[40, 7, 9], &[0, 2]),
    ];
    let mut all: Vec<Sample> =
        cases.iter().map(|(shape, axes)| sample(&[shape]).fill(0, fill).ints("axis", axes)).collect();
    all.push(sample(&[&[7, 33]]).fill(0, fill).ints("axis", &[1]).bool("keep_dims", true));
    all.push(sample(&[&[2, 3, 5]]).fill(0, fill).ints("axis", &[-3, 1]).bool("keep_dims", true));
    all.push(sample(&[&[2, 3]]).fill(0, fill).ints("axis", &[]));
    all.extend([&[][..], &[5], &[70, 611]].map(|shape: &[usize]| sample(&[shape]).fill(0, fill)));
    all
}

/// The shape of `x` without the reduced axes, or with size 1 there.
fn reduced(call: &Infer, dtype: DType) -> Result<Specs, OpError> {
    let shape = call.shape(0);
    let mask = call.axes("axis", shape.len())?;
    Ok(smallvec![TensorSpec { dtype, shape: remaining(shape, &mask, call.attrs.bool("keep_dims")) }])
}

fn remaining(shape: &[usize], mask: &[bool], keep: bool) -> Shape {
    let axes = shape.iter().zip(mask);
    axes.filter(|(_, gone)| keep || !**gone).map(|(&dim, &gone)| if gone { 1 } else { dim }).collect()
}

fn refuse_empty(call: &Infer) -> Result<(), OpError> {
    let shape = call.shape(0);
    let mask = call.axes("axis", shape.len())?;
    match (0..shape.len()).find(|&axis| mask[axis] && shape[axis] == 0) {
        Some(axis) if remaining(shape, &mask, false).iter().all(|&dim| dim > 0) => Err(call.error(
            ErrorCode::InvalidArgument,
            format!("{} of no elements has no value; axis {axis} of x has size 0", call.op.name),
        )),
        _ => Ok(()),
    }
}

/// The elements that go into each output, in row-major order.
fn groups(call: &OracleCall) -> Vec<Vec<f64>> {
    let shape = call.shape(0);
    let mask = call.attrs.axes("axis", shape.len());
    let kept = remaining(shape, &mask, true);
    let mut groups = vec![Vec::new(); kept.iter().product()];
    for (index, &value) in indices(shape).zip(call.values(0)) {
        let at: Shape = index.iter().zip(&mask).map(|(&i, &gone)| if gone { 0 } else { i }).collect();
        groups[flatten(&at, &kept)].push(value);
    }
    groups
}

fn oracle(call: &OracleCall, value: fn(&[f64]) -> f64, magnitude: fn(&[f64]) -> f64) -> Vec<OracleOutput> {
    let groups = groups(call);
    let over = |f: fn(&[f64]) -> f64| groups.iter().map(|group| f(group)).collect::<Vec<f64>>();
    vec![OracleOutput { values: over(value), magnitudes: Some(over(magnitude)) }]
}

fn exact(call: &OracleCall, value: fn(&[f64]) -> f64) -> Vec<OracleOutput> {
    oracle(call, value, |_| 0.0)
}

fn sum(x: &[f64]) -> f64 {
    x.iter().sum()
}
fn absolute_sum(x: &[f64]) -> f64 {
    x.iter().map(|v| v.abs()).sum()
}

/// Integers are added in i64, so that a sum of small ones does not wrap.
fn sum_dtype(call: &Infer) -> DType {
    let dtype = call.dtype(0);
    if dtype.is_float() { dtype } else { DType::I64 }
}

static SUM: OpDef = OpDef {
    name: "sum",
    doc: "The sum of the elements along `axis`, 0 over nothing.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axes. Dtypes: all; floats keep theirs (half precision is \
          added in f32), integers and bool give i64.",
    torch: "sum",
    numpy: "sum",
    infer: |call| reduced(call, sum_dtype(call)),
    oracle: |call| oracle(call, sum, absolute_sum),
    ..REDUCE
};

/// Every factor may add a rounding, so the bound grows with their number.
static PROD: OpDef = OpDef {
    name: "prod",
    doc: "The product of the elements along `axis`, 1 over nothing.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axes. Dtypes: all; floats keep theirs, integers and bool \
          give i64, which wraps.",
    torch: "prod",
    numpy: "prod",
    infer: |call| reduced(call, sum_dtype(call)),
    samples: || {
        let floats = samples(Fill::Uniform(0.995, 1.005)).into_iter().map(|s| s.dtypes(FLOAT));
        let whole = samples(Fill::Values(&[1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])).into_iter();
        let small = |s: &Sample| s.inputs[0].as_ref().is_some_and(|x| x.shape.iter().all(|&dim| dim <= 40));
        let whole = whole.filter(small).map(|s| s.dtypes(INT));
        let mixed = [&[3, 5][..], &[5, 3]]
            .into_iter()
            .flat_map(|shape| [0, 1].map(|axis| sample(&[shape]).ints("axis", &[axis])));
        floats.chain(whole).chain(mixed).collect()
    },
    oracle: |call| oracle(call, |x| x.iter().product(), |x| x.iter().product::<f64>().abs() * x.len() as f64),
    ..REDUCE
};

static MEAN: OpDef = OpDef {
    name: "mean",
    doc: "The arithmetic mean of the elements along `axis`, NaN over nothing.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axes. Dtypes: floats; integers and bool become f32.",
    torch: "mean",
    numpy: "mean",
    oracle: |call| oracle(call, |x| sum(x) / x.len() as f64, |x| absolute_sum(x) / x.len() as f64),
    ..FLOATS
};

static MAX: OpDef = OpDef {
    name: "max",
    doc: "The largest element along `axis`; NaN if any is NaN.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axes, which must not be empty. Dtypes: all.",
    torch: "amax",
    numpy: "max",
    oracle: |call| {
        exact(call, |x| x.iter().copied().fold(x[0], |a, b| if b > a || b.is_nan() { b } else { a }))
    },
    ..EXTREMES
};

static MIN: OpDef = OpDef {
    name: "min",
    doc: "The smallest element along `axis`; NaN if any is NaN.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axes, which must not be empty. Dtypes: all.",
    torch: "amin",
    numpy: "min",
    oracle: |call| {
        exact(call, |x| x.iter().copied().fold(x[0], |a, b| if b < a || b.is_nan() { b } else { a }))
    },
    ..EXTREMES
};

static ANY: OpDef = OpDef {
    name: "any",
    doc: "Whether an element along `axis` is not 0 (NaN is not), false over nothing.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axes. Dtypes: all → bool.",
    torch: "any",
    numpy: "any",
    oracle: |call| exact(call, |x| f64::from(u8::from(x.iter().any(|v| *v != 0.0)))),
    ..TESTS
};

static ALL: OpDef = OpDef {
    name: "all",
    doc: "Whether no element along `axis` is 0, true over nothing.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axes. Dtypes: all → bool.",
    torch: "all",
    numpy: "all",
    oracle: |call| exact(call, |x| f64::from(u8::from(x.iter().all(|v| *v != 0.0)))),
    ..TESTS
};

/// The largest element that is taken out before exponentials are summed; an infinite one cannot be.
fn shift(x: &[f64]) -> f64 {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most.is_finite() { most } else { 0.0 }
}

fn logsumexp(x: &[f64]) -> f64 {
    let shift = shift(x);
    shift + x.iter().map(|v| (v - shift).exp()).sum::<f64>().ln()
}

static LOGSUMEXP: OpDef = OpDef {
    name: "logsumexp",
    doc: "`ln Σ eˣ` along `axis` without overflow, −∞ over nothing.\n\n\
          Shapes: `x` is `[...]`, `y` is `x` without the axes. Dtypes: floats; integers and bool become f32.",
    torch: "logsumexp",
    numpy: "logaddexp.reduce",
    samples: || {
        const EDGES: &[f64] =
            &[f64::NEG_INFINITY, 1.0, 90.0, f64::INFINITY, f64::NEG_INFINITY, -90.0, f64::NAN, 5e3];
        let mut all = samples(Fill::Uniform(-12.0, 12.0));
        all.push(sample(&[&[3, 8]]).fill(0, Fill::Values(EDGES)).ints("axis", &[0]));
        all.push(sample(&[&[8, 2]]).fill(0, Fill::Values(EDGES)).ints("axis", &[1]));
        all
    },
    // The sum is rounded as its terms are, each of which has the rounding of its exponent.
    oracle: |call| oracle(call, logsumexp, |x| shift(x).abs() + (x.len() as f64).ln() + 4.0),
    ..FLOATS
};
