use elm_core::{DType, Fill, OpDef, TensorSpec, list, public, sample};
use smallvec::smallvec;

use crate::rules::FLOAT_SAME;

pub static OPS: &[&OpDef] = &[&GLOBAL_NORM];

static GLOBAL_NORM: OpDef = OpDef {
    name: "global_norm",
    doc: "The Euclidean norm of all elements of all tensors: `norm = √(Σ x²)`, summed in f64.\n\n\
          Shapes: any; `norm` is a scalar. Dtypes: floats, one for all tensors; `norm` is f32.",
    torch: "nn.utils.get_total_norm",
    inputs: &[list("tensors").index()],
    outputs: &[public("norm")],
    infer: |_| Ok(smallvec![TensorSpec::new(DType::F32, &[])]),
    signatures: FLOAT_SAME,
    samples: || {
        let wide = Fill::Uniform(-200.0, 200.0);
        vec![
            sample(&[&[]]),
            sample(&[&[0, 4]]),
            sample(&[&[3, 5], &[], &[33], &[0]]),
            sample(&[&[130, 257], &[2, 40_000], &[7]]),
            sample(&[&[2, 3, 5], &[41, 9]]).fill_all(wide),
        ]
    },
    oracle: |call| {
        let all = (0..call.inputs.len()).flat_map(|i| call.values(i));
        vec![vec![all.map(|x| x * x).sum::<f64>().sqrt()].into()]
    },
    differentiable: false,
    ..OpDef::EMPTY
};
