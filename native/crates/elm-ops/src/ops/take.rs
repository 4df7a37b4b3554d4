use elm_core::{
    AttrKind, ErrorCode, Fill, Infer, OpDef, OpError, OracleOutput, Shape, Specs, TensorSpec, attr, input,
    public, sample,
};
use smallvec::smallvec;

use crate::indexing::{ANY_INDEXED, FLOAT_INDEXED, indexed_axis, split, wrap};

pub static OPS: &[&OpDef] = &[&TAKE, &TAKE_BACKWARD];

static TAKE: OpDef = OpDef {
    name: "take",
    doc: "The slices of `x` along `axis` that `indices` names: `y[…, i…, …] = x[…, indices[i…], …]`.\n\n\
          Negative indices count from the end; one out of range is an error.\n\n\
          Shapes: `y` is `x.shape[:axis] + indices.shape + x.shape[axis+1:]`. Dtypes: `x` all, `indices` i32.",
    torch: "index_select",
    numpy: "take",
    inputs: &[input("x"), input("indices").index()],
    attrs: &[attr::axis("axis", 0, "The axis of `x` that is indexed.")],
    infer: |call| {
        let x = call.shape(0);
        let axis = indexed_axis(call, x)?;
        let mut shape = Shape::from_slice(&x[..axis]);
        shape.extend_from_slice(call.shape(1));
        shape.extend_from_slice(&x[axis + 1..]);
        Ok(smallvec![TensorSpec { dtype: call.dtype(0), shape }])
    },
    signatures: ANY_INDEXED,
    samples: || {
        let of = |x: &[usize], axis: usize, indices: &[usize]| {
            let size = x[axis] as i64;
            sample(&[x]).and(indices, Fill::Ints(-size, size)).int("axis", axis as i64)
        };
        vec![
            of(&[5], 0, &[]),
            of(&[5, 3], 0, &[0]),
            of(&[7, 33], 0, &[4, 3]),
            of(&[3, 7], 1, &[9]),
            of(&[3, 7], 1, &[5, 7]),
            of(&[9], 0, &[20_000]),
            of(&[2, 5, 4], 1, &[2, 3]),
            of(&[0, 5], 1, &[4]),
            of(&[130, 70], 0, &[300]).int("axis", -2),
        ]
    },
    oracle: |call| {
        let axis = call.attrs.axis("axis", call.shape(0).len());
        let [outer, size, inner] = split(call.shape(0), axis);
        let mut values = Vec::new();
        for row in 0..outer {
            for &index in call.values(1) {
                let start = (row * size + wrap(index, size)) * inner;
                values.extend_from_slice(&call.values(0)[start..start + inner]);
            }
        }
        vec![values.into()]
    },
    ..OpDef::EMPTY
};

static TAKE_BACKWARD: OpDef = OpDef {
    name: "take_backward",
    doc: "Gradient of `take` with respect to `x`: `dx[…, r, …] = Σ grad[…, i…, …]` over the `i…` with \
          `indices[i…] = r`.\n\n\
          Summed in the order of the indices, in f32 for half precision.\n\n\
          Shapes: `grad` is that of the output of `take`, `dx` that of `x`. Dtypes: floats, `indices` i32.",
    inputs: &[input("grad"), input("indices").index()],
    attrs: &[
        attr::required("axis", AttrKind::Axis, "The axis of `x` that was indexed."),
        attr::required("size", AttrKind::Int, "The size of that axis."),
    ],
    outputs: &[public("dx")],
    infer: infer_backward,
    signatures: FLOAT_INDEXED,
    samples: || {
        let of = |grad: &[usize], axis: i64, indices: &[usize], size: i64| {
            let indexed = sample(&[grad]).and(indices, Fill::Ints(-size, size));
            indexed.int("axis", axis).int("size", size)
        };
        vec![
            of(&[], 0, &[], 5),
            of(&[0, 3], 0, &[0], 4),
            of(&[4, 3, 33], 0, &[4, 3], 7),
            of(&[3, 90], -1, &[90], 7),
            of(&[2, 2, 3, 4], 1, &[2, 3], 5),
            of(&[300, 600], 0, &[300], 130),
        ]
    },
    oracle: |call| {
        let shape = &call.outputs[0].shape;
        let [outer, size, inner] = split(shape, call.attrs.axis("axis", shape.len()));
        let (mut values, mut magnitudes) = (vec![0.0; outer * size * inner], vec![0.0; outer * size * inner]);
        let count = call.values(1).len();
        for row in 0..outer {
            for (i, &index) in call.values(1).iter().enumerate() {
                let (to, from) = ((row * size + wrap(index, size)) * inner, (row * count + i) * inner);
                for j in 0..inner {
                    values[to + j] += call.values(0)[from + j];
                    magnitudes[to + j] += call.values(0)[from + j].abs();
                }
            }
        }
        vec![OracleOutput { values, magnitudes: Some(magnitudes) }]
    },
    tolerance: 16.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};

fn infer_backward(call: &Infer) -> Result<Specs, OpError> {
    let (grad, indices, size) = (call.shape(0), call.shape(1), call.attrs.int("size"));
    let Some(rank) = (grad.len() + 1).checked_sub(indices.len()) else {
        return Err(call.shape_error("grad must hold the axes of indices"));
    };
    let axis = call.axis("axis", rank)?;
    if grad[axis..axis + indices.len()] != *indices {
        return Err(call.shape_error(format!(
            "grad must hold the shape of indices {indices:?} from axis {axis} on, got {grad:?}"
        )));
    }
    if !(0..=1 << 31).contains(&size) {
        return Err(call.error(ErrorCode::InvalidArgument, format!("size must be of [0, 2³¹], got {size}")));
    }
    let mut shape = Shape::from_slice(&grad[..axis]);
    shape.push(size as usize);
    shape.extend_from_slice(&grad[axis + indices.len()..]);
    Ok(smallvec![TensorSpec { dtype: call.dtype(0), shape }])
}
