use elm_core::{Fill, OpDef, OracleOutput, Sample, TensorSpec, input, public, sample};
use smallvec::smallvec;

use crate::rules::{FLOAT_SAME, FLOAT1, rows};

pub static OPS: &[&OpDef] = &[&SWIGLU, &SWIGLU_BACKWARD];

static SWIGLU: OpDef = OpDef {
    name: "swiglu",
    doc: "Gated linear unit with SiLU: `y = silu(a) · b`, `a` the first and `b` the second half of the last axis \
          of `x`, `silu(a) = a / (1 + e⁻ᵃ)`.\n\n\
          Shapes: `x` is `[..., 2·dim]`, `y` is `[..., dim]`.\n\
          Dtypes: floats; half precision computes in f32 and rounds once.\n\n\
          Shazeer, 2020, https://arxiv.org/abs/2002.05202",
    inputs: &[input("x")],
    infer: |call| {
        let width = call.last_dim(0)?;
        if !width.is_multiple_of(2) {
            return Err(
                call.shape_error(format!("the last axis of x must be even (gate and value), got {width}"))
            );
        }
        let mut y = call.arg(0).spec();
        *y.shape.last_mut().expect("it has a last axis") = width / 2;
        Ok(smallvec![y])
    },
    signatures: FLOAT1,
    samples: || {
        let mut samples: Vec<Sample> = shapes().map(|shape| sample(&[shape])).collect();
        // Past the ends of the exponential.
        samples.push(sample(&[&[3, 40]]).fill(0, Fill::Uniform(-150.0, 150.0)));
        samples
    },
    oracle: |call| {
        let halves = rows(call.shape(0), call.values(0)).map(|row| row.split_at(row.len() / 2));
        let values = halves.flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| a * sigmoid(*a) * b));
        vec![values.collect::<Vec<_>>().into()]
    },
    tolerance: 8.0,
    ..OpDef::EMPTY
};

/// Edges of vector width and of the elements a task.
fn shapes() -> impl Iterator<Item = &'static [usize]> {
    let shapes: &[&[usize]] =
        &[&[2], &[3, 16], &[2, 5, 34], &[0, 8], &[3, 0], &[130, 66], &[3, 8190], &[2, 8192], &[2, 8194]];
    shapes.iter().copied()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

static SWIGLU_BACKWARD: OpDef = OpDef {
    name: "swiglu_backward",
    doc: "Gradient of `swiglu`. With `s = 1 / (1 + e⁻ᵃ)`: `da = grad · b · s · (1 + a · (1 − s))`, \
          `db = grad · a · s`, side by side in `dx`.",
    inputs: &[input("grad"), input("x")],
    outputs: &[public("dx")],
    infer: |call| {
        let x: TensorSpec = call.arg(1).spec();
        let mut half = x.shape.clone();
        if let Some(last) = half.last_mut() {
            *last /= 2;
        }
        call.require_shape(0, &half, "the shape of x with half its last axis")?;
        Ok(smallvec![x])
    },
    signatures: FLOAT_SAME,
    samples: || {
        let make = |shape: &'static [usize]| {
            let mut half = shape.to_vec();
            *half.last_mut().expect("samples have a last axis") /= 2;
            sample(&[&half, shape])
        };
        let mut samples: Vec<Sample> = shapes().map(make).collect();
        samples.push(make(&[3, 40]).fill(1, Fill::Uniform(-150.0, 150.0)));
        samples
    },
    oracle: |call| {
        let (mut dx, mut size) = (Vec::new(), Vec::new());
        let gradients = rows(call.shape(0), call.values(0));
        for (grad, row) in gradients.zip(rows(call.shape(1), call.values(1))) {
            let (a, b) = row.split_at(row.len() / 2);
            let s = |i: usize| sigmoid(a[i]);
            // 1 − s without cancellation.
            let rest = |i: usize| sigmoid(-a[i]);
            dx.extend((0..a.len()).map(|i| grad[i] * b[i] * s(i) * (1.0 + a[i] * rest(i))));
            size.extend((0..a.len()).map(|i| (grad[i] * b[i] * s(i) * (1.0 + a[i].abs() * rest(i))).abs()));
            dx.extend((0..a.len()).map(|i| grad[i] * a[i] * s(i)));
            size.extend((0..a.len()).map(|i| (grad[i] * a[i] * s(i)).abs()));
        }
        vec![OracleOutput { values: dx, magnitudes: Some(size) }]
    },
    tolerance: 8.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};
