//! Schemas of the triangles of matrices.

use elm_core::{OpDef, OracleCall, OracleOutput, Sample, attr, input, sample};

use crate::rules::{ANY_SAME, indices, same_as_first};

pub static OPS: &[&OpDef] = &[&TRIL, &TRIU];

const TRIANGLE: OpDef = OpDef {
    inputs: &[input("x")],
    attrs: &[attr::int(
        "diagonal",
        0,
        "The last diagonal that is kept: 0 is the main one, positive ones lie above it.",
    )],
    infer: |call| {
        if call.shape(0).len() < 2 {
            return Err(call.shape_error(format!("x must have at least 2 axes, got {}", call.shape(0).len())));
        }
        same_as_first(call)
    },
    signatures: ANY_SAME,
    samples: || {
        let shapes: [&[usize]; 6] = [&[1, 1], &[0, 3], &[3, 0], &[4, 7], &[7, 4], &[2, 3, 5, 5]];
        let all =
            shapes.iter().flat_map(|s| [-9, -2, -1, 0, 1, 3, 9].map(|d| sample(&[s]).int("diagonal", d)));
        all.chain([sample(&[&[3, 80, 90]])]).collect::<Vec<Sample>>()
    },
    ..OpDef::EMPTY
};

static TRIL: OpDef = OpDef {
    name: "tril",
    doc: "The lower triangle of matrices: `x[..., i, j]` where `j − i ≤ diagonal`, 0 elsewhere.\n\n\
          Shapes: `x` and `y` are `[..., rows, columns]`. Dtypes: all.",
    torch: "tril",
    numpy: "tril",
    oracle: |call| oracle(call, |distance, diagonal| distance <= diagonal),
    ..TRIANGLE
};

static TRIU: OpDef = OpDef {
    name: "triu",
    doc: "The upper triangle of matrices: `x[..., i, j]` where `j − i ≥ diagonal`, 0 elsewhere.\n\n\
          Shapes: `x` and `y` are `[..., rows, columns]`. Dtypes: all.",
    torch: "triu",
    numpy: "triu",
    oracle: |call| oracle(call, |distance, diagonal| distance >= diagonal),
    ..TRIANGLE
};

fn oracle(call: &OracleCall, keeps: fn(i64, i64) -> bool) -> Vec<OracleOutput> {
    let diagonal = call.attrs.int("diagonal");
    let value = |(index, &x): (elm_core::Shape, &f64)| match index.as_slice() {
        [.., i, j] if keeps(*j as i64 - *i as i64, diagonal) => x,
        _ => 0.0,
    };
    vec![indices(call.shape(0)).zip(call.values(0)).map(value).collect::<Vec<_>>().into()]
}
