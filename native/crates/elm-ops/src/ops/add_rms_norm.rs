use elm_core::{
    DType, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Sample, Specs, TensorSpec, attr, input,
    optional, public, sample, saved,
};
use smallvec::smallvec;

use super::rms_norm::{gradient, normed, shapes};

pub static OPS: &[&OpDef] = &[&ADD_RMS_NORM, &ADD_RMS_NORM_BACKWARD];

use DType::{BF16, F16, F32, F64};

static ADD_RMS_NORM: OpDef = OpDef {
    name: "add_rms_norm",
    doc: "Adds to a residual stream and normalizes the sum as `rmsNorm` does:\n\
          `sum = x + branch`, `y = sum / sqrt(mean(sum²) + eps) · weight`.\n\n\
          What is normalized is the rounded `sum`, and the quotient is rounded to its dtype before it meets the weight; \
          `y` has the dtype of `branch`.\n\n\
          Shapes: `x`, `branch`, `sum` and `y` are `[..., dim]`, `weight` is `[dim]`.\n\
          Dtypes: floats; a half-precision `branch` also takes an f32 weight, and then an f32 `x` as well. The mean is \
          kept in f32 (f64 for f64).\n\n\
          Zhang and Sennrich, 2019, https://arxiv.org/abs/1910.07467",
    inputs: &[input("x"), input("branch"), input("weight")],
    attrs: &[attr::f64("eps", 1e-6, "Added to the mean square.")],
    outputs: &[public("sum"), public("y"), saved("rstd")],
    infer,
    signatures: &[
        &[F64, F64, F64],
        &[F32, F32, F32],
        &[BF16, BF16, BF16],
        &[F16, F16, F16],
        &[BF16, BF16, F32],
        &[F16, F16, F32],
        &[F32, BF16, F32],
        &[F32, F16, F32],
    ],
    samples: || shapes().map(|shape| sample(&[shape, shape, &[shape[shape.len() - 1]]])).collect(),
    oracle,
    tolerance: 8.0,
    ..OpDef::EMPTY
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    let dim = call.last_dim(0)?;
    call.require_shape(1, call.shape(0), "the shape of x")?;
    call.require_shape(2, &[dim], "the last axis of x")?;
    let (sum, y) = (call.arg(0).spec(), call.arg(1).spec());
    let rstd = TensorSpec::new(sum.dtype.accumulator(), &sum.shape[..sum.shape.len() - 1]);
    Ok(smallvec![sum, y, rstd])
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let stream = call.spec(0);
    let sums = call.values(0).iter().zip(call.values(1)).map(|(x, branch)| stream.dtype.round(x + branch));
    let sum: Vec<f64> = sums.collect();
    let [y, rstd] = normed(stream, &sum, call.values(2), call.attrs.f64("eps"));
    vec![sum.into(), y, rstd]
}

static ADD_RMS_NORM_BACKWARD: OpDef = OpDef {
    name: "add_rms_norm_backward",
    doc: "Gradient of `add_rms_norm`: `dx` is `grad_sum`, if there is one, and what `rms_norm_backward` makes of `grad`, \
          the cotangent of `y`; `dweight` is as there.\n\n\
          `dbranch` is `dx` rounded to the dtype of `grad`. It is empty where that is the dtype of `dx`: then both \
          gradients are `dx`.",
    inputs: &[input("grad"), input("sum"), input("weight"), input("rstd"), optional("grad_sum")],
    outputs: &[public("dx"), public("dbranch"), public("dweight")],
    infer: infer_backward,
    signatures: &[
        &[F64, F64, F64, F64, F64],
        &[F32, F32, F32, F32, F32],
        &[BF16, BF16, BF16, F32, BF16],
        &[F16, F16, F16, F32, F16],
        &[BF16, BF16, F32, F32, BF16],
        &[F16, F16, F32, F32, F16],
        &[BF16, F32, F32, F32, F32],
        &[F16, F32, F32, F32, F32],
    ],
    samples: || shapes().flat_map(|shape| [true, false].map(|flows| backward_sample(shape, flows))).collect(),
    oracle: backward_oracle,
    tolerance: 8.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};

fn infer_backward(call: &Infer) -> Result<Specs, OpError> {
    let (grad, dx) = (call.arg(0).spec(), call.arg(1).spec());
    let dim = call.last_dim(1)?;
    call.require_shape(0, &dx.shape, "the shape of sum")?;
    call.require_shape(2, &[dim], "the last axis of sum")?;
    call.require_shape(3, &dx.shape[..dx.shape.len() - 1], "the rows of sum")?;
    if call.optional(4).is_some() {
        call.require_shape(4, &dx.shape, "the shape of sum")?;
    }
    let dbranch = if grad.dtype == dx.dtype { TensorSpec::new(grad.dtype, &[0]) } else { grad };
    Ok(smallvec![dx, dbranch, call.arg(2).spec()])
}

/// `flows`: whether there is a cotangent of the sum.
fn backward_sample(shape: &[usize], flows: bool) -> Sample {
    let (rows, dim) = shape.split_at(shape.len() - 1);
    let sample = sample(&[shape, shape, dim, rows]).fill(3, Fill::Uniform(0.5, 1.5));
    if flows { sample.and(shape, Fill::Uniform(-2.0, 2.0)) } else { sample.absent() }
}

fn backward_oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let [mut dx, dweight] = gradient(call.values(0), call.values(1), call.values(2), call.values(3));
    if call.has(4) {
        let sizes = dx.magnitudes.iter_mut().flatten();
        for ((value, size), grad) in dx.values.iter_mut().zip(sizes).zip(call.values(4)) {
            *value += grad;
            *size += grad.abs();
        }
    }
    let is_apart = call.spec(0).dtype != call.spec(1).dtype;
    let dbranch = if is_apart { dx.clone() } else { Vec::new().into() };
    vec![dx, dbranch, dweight]
}
