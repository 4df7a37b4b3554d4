use elm_core::{DType, Fill, OpDef, OracleOutput, Sample, input, list, sample};

use crate::rules::same_shapes;

pub static OPS: &[&OpDef] = &[&ACCUMULATE];

use DType::{BF16, F16, F32, F64};

static ACCUMULATE: OpDef = OpDef {
    name: "accumulate",
    doc: "Adds weighted tensors to others in place: `into ← into + weight · from`.\n\n\
          Shapes: `weight` is a scalar; `into` and `from` are lists of equal shapes.\n\
          Dtypes: floats, `weight` f32; an f32 `into` also takes a half-precision `from`.",
    torch: "_foreach_add_",
    inputs: &[input("weight").index(), list("into").mutated(), list("from").index()],
    outputs: &[],
    infer: |call| {
        call.require_shape(0, &[], "a scalar")?;
        same_shapes(call)
    },
    signatures: &[
        &[F32, F64, F64],
        &[F32, F32, F32],
        &[F32, BF16, BF16],
        &[F32, F16, F16],
        &[F32, F32, BF16],
        &[F32, F32, F16],
    ],
    samples: || {
        vec![
            case(1.0, &[&[1]]),
            case(0.3, &[&[3, 5], &[], &[33], &[0, 2]]),
            case(-2.5, &[&[7], &[2, 20_000], &[130, 17]]),
        ]
    },
    oracle: |call| {
        let weight = call.values(0)[0];
        let (into, from) = (call.list(&ACCUMULATE, 1), call.list(&ACCUMULATE, 2));
        into.zip(from)
            .map(|(into, from)| {
                let pairs = call.values(into).iter().zip(call.values(from));
                let (values, sizes) =
                    pairs.map(|(a, b)| (a + weight * b, a.abs() + (weight * b).abs())).unzip();
                OracleOutput { values, magnitudes: Some(sizes) }
            })
            .collect()
    },
    differentiable: false,
    ..OpDef::EMPTY
};

fn case(weight: f64, shapes: &[&[usize]]) -> Sample {
    let lists = [shapes, shapes].concat();
    lists
        .iter()
        .fold(sample(&[]).and(&[], Fill::Constant(weight)), |s, shape| s.and(shape, Fill::Uniform(-2.0, 2.0)))
}
