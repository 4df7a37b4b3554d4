use elm_core::{
    ErrorCode, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Promotion, Specs, attr, list, sample,
};
use smallvec::smallvec;

use crate::indexing::split;
use crate::rules::ANY_SAME;

pub static OPS: &[&OpDef] = &[&CONCAT];

static CONCAT: OpDef = OpDef {
    name: "concat",
    doc: "The tensors one after another along `axis`.\n\n\
          Shapes: all equal except along `axis`, where the sizes add up. Dtypes: all, promoted to the common one.",
    torch: "cat",
    numpy: "concatenate",
    inputs: &[list("tensors")],
    attrs: &[attr::axis("axis", 0, "The axis along which they are joined.")],
    infer,
    signatures: ANY_SAME,
    samples: || {
        let along = |axis: i64, shapes: &[&[usize]]| sample(shapes).int("axis", axis);
        vec![
            along(0, &[&[3]]),
            along(0, &[&[3], &[0], &[5]]),
            along(0, &[&[2, 5], &[1, 5], &[33, 5]]),
            along(-1, &[&[2, 5], &[2, 1], &[2, 64]]),
            along(1, &[&[2, 3, 4], &[2, 1, 4]]),
            along(-1, &[&[0, 2], &[0, 3]]).fill_all(Fill::Constant(1.0)),
        ]
    },
    oracle,
    promotion: Promotion::Common,
    ..OpDef::EMPTY
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    if call.inputs.is_empty() {
        return Err(call.error(ErrorCode::InvalidArgument, "tensors must hold at least one tensor"));
    }
    let mut spec = call.arg(0).spec();
    let axis = call.axis("axis", spec.shape.len())?;
    for position in 1..call.inputs.len() {
        let shape = call.shape(position);
        let first = call.shape(0);
        let fits = shape.len() == first.len()
            && shape.iter().zip(first).enumerate().all(|(i, (a, b))| i == axis || a == b);
        if !fits {
            return Err(call.shape_error(format!(
                "tensors must have equal shapes except along axis {axis}, but number 0 is {first:?} and number \
                 {position} is {shape:?}"
            )));
        }
        spec.shape[axis] += shape[axis];
    }
    Ok(smallvec![spec])
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let axis = call.attrs.axis("axis", call.shape(0).len());
    let [outer, _, _] = split(call.shape(0), axis);
    let mut values = Vec::new();
    for row in 0..outer {
        for input in 0..call.inputs.len() {
            let len = call.shape(input)[axis..].iter().product::<usize>();
            values.extend_from_slice(&call.values(input)[row * len..(row + 1) * len]);
        }
    }
    vec![values.into()]
}
