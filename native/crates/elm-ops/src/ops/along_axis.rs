//! Schemas of gather and scatter along one axis, an index for every element.

use elm_core::{
    Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Sample, Specs, TensorSpec, attr, input, sample,
};
use smallvec::smallvec;

use crate::indexing::{ANY_INDEXED, ANY_UPDATED, NUMERIC_UPDATED, indexed_axis, require_along, split, wrap};

pub static OPS: &[&OpDef] = &[&TAKE_ALONG_AXIS, &SCATTER_ADD, &SCATTER];

static TAKE_ALONG_AXIS: OpDef = OpDef {
    name: "take_along_axis",
    doc: "The element of `x` along `axis` that each index names; for the last axis \
          `y[…, i] = x[…, indices[…, i]]`.\n\n\
          Negative indices count from the end; one out of range is an error.\n\n\
          Shapes: `indices` has the shape of `x` except along `axis`, `y` that of `indices`. Dtypes: `x` all, \
          `indices` i32.",
    torch: "take_along_dim",
    numpy: "take_along_axis",
    inputs: &[input("x"), input("indices").index()],
    attrs: &[attr::axis("axis", -1, "The axis of `x` that is indexed.")],
    infer: |call| {
        let axis = indexed_axis(call, call.shape(0))?;
        require_along(call, axis)?;
        Ok(smallvec![TensorSpec::new(call.dtype(0), call.shape(1))])
    },
    signatures: ANY_INDEXED,
    samples: || samples(false),
    oracle: |call| {
        let axis = call.attrs.axis("axis", call.shape(0).len());
        let mut values = vec![0.0; call.values(1).len()];
        each(call, axis, |at, target| values[at] = call.values(0)[target]);
        vec![values.into()]
    },
    ..OpDef::EMPTY
};

static SCATTER_ADD: OpDef = OpDef {
    name: "scatter_add",
    doc: "`x` with each update added where its index points; for the last axis \
          `y[…, r] = x[…, r] + Σ updates[…, i]` over the `i` with `indices[…, i] = r`.\n\n\
          Summed in the order of the indices (in f32 for half precision), so the result is always the same. Negative \
          indices count from the end; one out of range is an error.\n\n\
          Shapes: `indices` has the shape of `x` except along `axis`, `updates` that of `indices`, `y` that of `x`. \
          Dtypes: all but bool, `indices` i32; integers wrap.",
    torch: "scatter_add",
    numpy: "add.at",
    signatures: NUMERIC_UPDATED,
    oracle: |call| {
        let axis = call.attrs.axis("axis", call.shape(0).len());
        let mut values = call.values(0).to_vec();
        let mut magnitudes: Vec<f64> = values.iter().map(|v| v.abs()).collect();
        each(call, axis, |at, target| {
            values[target] += call.values(2)[at];
            magnitudes[target] += call.values(2)[at].abs();
        });
        vec![OracleOutput { values, magnitudes: Some(magnitudes) }]
    },
    tolerance: 16.0,
    ..SCATTERS
};

static SCATTER: OpDef = OpDef {
    name: "scatter",
    doc: "`x` with each update put where its index points; for the last axis \
          `y[…, indices[…, i]] = updates[…, i]`.\n\n\
          Of several updates for one place the last in row-major order stays. Negative indices count from the end; one \
          out of range is an error.\n\n\
          Shapes: `indices` has the shape of `x` except along `axis`, `updates` that of `indices`, `y` that of `x`. \
          Dtypes: all, `indices` i32.",
    torch: "scatter",
    numpy: "put_along_axis",
    signatures: ANY_UPDATED,
    oracle: |call| {
        let axis = call.attrs.axis("axis", call.shape(0).len());
        let mut values = call.values(0).to_vec();
        each(call, axis, |at, target| values[target] = call.values(2)[at]);
        vec![values.into()]
    },
    ..SCATTERS
};

const SCATTERS: OpDef = OpDef {
    inputs: &[input("x"), input("indices").index(), input("updates")],
    attrs: &[attr::axis("axis", 0, "The axis of `x` that is indexed.")],
    infer: infer_scatter,
    samples: || samples(true),
    ..OpDef::EMPTY
};

fn infer_scatter(call: &Infer) -> Result<Specs, OpError> {
    let axis = indexed_axis(call, call.shape(0))?;
    require_along(call, axis)?;
    call.require_shape(2, call.shape(1), "the shape of indices")?;
    Ok(smallvec![call.arg(0).spec()])
}

fn samples(updates: bool) -> Vec<Sample> {
    let of = |x: &[usize], axis: usize, count: usize| {
        let mut indices = x.to_vec();
        indices[axis] = count;
        let size = x[axis] as i64;
        let indexed = sample(&[x]).and(&indices, Fill::Ints(-size, size)).int("axis", axis as i64);
        if updates { indexed.and(&indices, Fill::Uniform(-2.0, 2.0)) } else { indexed }
    };
    vec![
        of(&[5], 0, 9),
        of(&[5, 3], 0, 0),
        of(&[0, 3], 1, 2),
        of(&[4, 7], 1, 9),
        of(&[9, 4], 0, 5),
        of(&[2, 5, 3], 1, 12),
        of(&[65, 130], 1, 131),
        of(&[40, 129], 0, 70).int("axis", -2),
    ]
}

/// Calls `f(position in indices, position in x)` for every index, in row-major order.
fn each(call: &OracleCall, axis: usize, mut f: impl FnMut(usize, usize)) {
    let ([_, size, inner], count) = (split(call.shape(0), axis), call.shape(1)[axis]);
    for (at, &index) in call.values(1).iter().enumerate() {
        let (row, column) = (at / inner / count, at % inner);
        f(at, (row * size + wrap(index, size)) * inner + column);
    }
}
