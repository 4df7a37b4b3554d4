use elm_core::{
    DType, Infer, OpDef, OpError, OracleCall, OracleOutput, Sample, Specs, TensorSpec, attr, input, public,
    sample, saved,
};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&RMS_NORM, &RMS_NORM_BACKWARD];

use DType::{BF16, F16, F32, F64};

static RMS_NORM: OpDef = OpDef {
    name: "rms_norm",
    doc: "Root-mean-square normalization over the last axis:\n\
          `y = x / sqrt(mean(x²) + eps) · weight`.\n\n\
          The quotient is rounded to the dtype of `x` before it meets the weight.\n\n\
          Shapes: `x` is `[..., dim]`, `weight` is `[dim]`, `y` is `[..., dim]`.\n\
          Dtypes: floats; a half-precision `x` also takes an f32 weight. The mean is kept in f32 (f64 for f64).\n\n\
          Zhang and Sennrich, 2019, https://arxiv.org/abs/1910.07467",
    torch: "nn.functional.rms_norm",
    inputs: &[input("x"), input("weight")],
    attrs: &[attr::f64("eps", 1e-6, "Added to the mean square.")],
    outputs: &[public("y"), saved("rstd")],
    infer,
    signatures: &[&[F64, F64], &[F32, F32], &[BF16, BF16], &[F16, F16], &[BF16, F32], &[F16, F32]],
    samples: || shapes().map(|shape| sample(&[shape, &[shape[shape.len() - 1]]])).collect(),
    oracle,
    tolerance: 8.0,
    ..OpDef::EMPTY
};

pub(super) fn shapes() -> impl Iterator<Item = &'static [usize]> {
    let shapes: &[&[usize]] = &[&[1, 1], &[3, 8], &[2, 5, 33], &[0, 16], &[4, 1280], &[130, 17]];
    shapes.iter().copied()
}

/// `rstd` is saved so that the backward rule need not reduce again.
fn infer(call: &Infer) -> Result<Specs, OpError> {
    let dim = call.last_dim(0)?;
    call.require_shape(1, &[dim], "the last axis of x")?;
    let x = call.arg(0).spec();
    let rstd = TensorSpec::new(x.dtype.accumulator(), &x.shape[..x.shape.len() - 1]);
    Ok(smallvec![x, rstd])
}

fn rstd(row: &[f64], eps: f64) -> f64 {
    1.0 / (row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64 + eps).sqrt()
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    normed(call.spec(0), call.values(0), call.values(1), call.attrs.f64("eps")).into()
}

/// `y` and `rstd` of the rows of `x`, which has the shape and dtype of `spec`.
pub(super) fn normed(spec: &TensorSpec, x: &[f64], weight: &[f64], eps: f64) -> [OracleOutput; 2] {
    let (mut y, mut scales) = (Vec::new(), Vec::new());
    for row in crate::rules::rows(&spec.shape, x) {
        let scale = rstd(row, eps);
        scales.push(scale);
        y.extend(row.iter().zip(weight).map(|(x, w)| spec.dtype.round(x * scale) * w));
    }
    let magnitudes = Some(half_ulp_of_first_rounding(&y, spec.dtype));
    [OracleOutput { magnitudes, values: y }, scales.into()]
}

/// In half precision the first rounding may fall to the other side of a tie than the oracle's: one more ulp.
fn half_ulp_of_first_rounding(y: &[f64], dtype: DType) -> Vec<f64> {
    let steps = dtype.epsilon() / dtype.accumulator().epsilon() / 8.0;
    y.iter().map(|v| v.abs() * steps.max(1.0)).collect()
}

static RMS_NORM_BACKWARD: OpDef = OpDef {
    name: "rms_norm_backward",
    doc: "Gradient of `rms_norm`. With `x̂ = x · rstd` and `g = grad · weight`:\n\
          `dx = rstd · (g − x̂ · mean(g · x̂))`, `dweight = Σ_rows grad · x̂`.",
    inputs: &[input("grad"), input("x"), input("weight"), input("rstd")],
    outputs: &[public("dx"), public("dweight")],
    infer: |call| {
        call.require_shape(0, call.shape(1), "the shape of x")?;
        Ok(smallvec![call.arg(1).spec(), call.arg(2).spec()])
    },
    signatures: &[
        &[F64, F64, F64, F64],
        &[F32, F32, F32, F32],
        &[BF16, BF16, BF16, F32],
        &[F16, F16, F16, F32],
        &[BF16, BF16, F32, F32],
        &[F16, F16, F32, F32],
    ],
    samples: || {
        let make = |shape: &'static [usize]| -> Sample {
            let (rows, dim) = shape.split_at(shape.len() - 1);
            sample(&[shape, shape, dim, rows]).fill(3, elm_core::Fill::Uniform(0.5, 1.5))
        };
        shapes().map(make).collect()
    },
    oracle: |call| gradient(call.values(0), call.values(1), call.values(2), call.values(3)).into(),
    tolerance: 8.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};

/// `dx` and `dweight`.
pub(super) fn gradient(grad: &[f64], x: &[f64], weight: &[f64], rstd: &[f64]) -> [OracleOutput; 2] {
    let dim = weight.len();
    let (mut dx, mut size) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let (mut dweight, mut dweight_size) = (vec![0.0; dim], vec![0.0; dim]);
    for (row, scale) in rstd.iter().enumerate() {
        let at = |i: usize| row * dim + i;
        let terms = (0..dim).map(|i| grad[at(i)] * weight[i] * x[at(i)] * scale / dim as f64);
        let (mean, mean_size): (f64, f64) = (terms.clone().sum(), terms.map(f64::abs).sum());
        for i in 0..dim {
            let (g, xhat) = (grad[at(i)], x[at(i)] * scale);
            dx[at(i)] = scale * (g * weight[i] - xhat * mean);
            size[at(i)] = scale * ((g * weight[i]).abs() + xhat.abs() * mean_size);
            dweight[i] += g * xhat;
            dweight_size[i] += (g * xhat).abs();
        }
    }
    [
        OracleOutput { values: dx, magnitudes: Some(size) },
        OracleOutput { values: dweight, magnitudes: Some(dweight_size) },
    ]
}
