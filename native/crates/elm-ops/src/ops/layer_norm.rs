use elm_core::{
    DType, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Sample, Specs, TensorSpec, attr, input,
    optional, public, sample, saved,
};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&LAYER_NORM, &LAYER_NORM_BACKWARD];

use DType::{BF16, F16, F32, F64};

static LAYER_NORM: OpDef = OpDef {
    name: "layer_norm",
    doc: "Layer normalization over the last axis:\n\
          `y = (x − mean(x)) / sqrt(variance(x) + eps) · weight + bias`, with the variance of the population.\n\n\
          A missing weight counts as 1, a missing bias as 0.\n\n\
          Shapes: `x` is `[..., dim]`, `weight` and `bias` are `[dim]`, `y` is `[..., dim]`.\n\
          Dtypes: floats; a half-precision `x` also takes f32 weight and bias. Computed in f32 (f64 for f64) and \
          rounded once.\n\n\
          Ba, Kiros and Hinton, 2016, https://arxiv.org/abs/1607.06450",
    torch: "nn.functional.layer_norm",
    inputs: &[input("x"), optional("weight"), optional("bias")],
    attrs: &[attr::f64("eps", 1e-5, "Added to the variance.")],
    outputs: &[public("y"), saved("mean"), saved("rstd")],
    infer,
    signatures: &[
        &[F64, F64, F64],
        &[F32, F32, F32],
        &[BF16, BF16, BF16],
        &[F16, F16, F16],
        &[BF16, F32, F32],
        &[F16, F32, F32],
    ],
    samples: || {
        let both = |shape: &'static [usize]| {
            let dim = &shape[shape.len() - 1..];
            sample(&[shape, dim, dim])
        };
        let mut samples: Vec<Sample> = shapes().map(both).collect();
        samples.push(sample(&[&[3, 20]]).absent().absent());
        samples.push(sample(&[&[3, 20], &[20]]).absent().f64("eps", 0.1));
        samples.push(sample(&[&[3, 20]]).absent().and(&[20], Fill::Uniform(-2.0, 2.0)));
        samples
    },
    oracle,
    tolerance: 8.0,
    ..OpDef::EMPTY
};

/// Edges of vector width, of rows a task and of rows a partial sum.
fn shapes() -> impl Iterator<Item = &'static [usize]> {
    let shapes: &[&[usize]] = &[&[1, 1], &[3, 8], &[2, 5, 33], &[0, 16], &[4, 1280], &[130, 17], &[16]];
    shapes.iter().copied()
}

fn infer(call: &Infer) -> Result<Specs, OpError> {
    let dim = call.last_dim(0)?;
    for position in [1, 2] {
        if call.optional(position).is_some() {
            call.require_shape(position, &[dim], "the last axis of x")?;
        }
    }
    let x = call.arg(0).spec();
    let row = TensorSpec::new(x.dtype.accumulator(), &x.shape[..x.shape.len() - 1]);
    Ok(smallvec![x, row.clone(), row])
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let dim = call.shape(0)[call.shape(0).len() - 1];
    let eps = call.attrs.f64("eps");
    let weight = |i: usize| if call.has(1) { call.values(1)[i] } else { 1.0 };
    let bias = |i: usize| if call.has(2) { call.values(2)[i] } else { 0.0 };
    let (mut y, mut y_size) = (Vec::new(), Vec::new());
    let (mut means, mut mean_sizes, mut rstds) = (Vec::new(), Vec::new(), Vec::new());
    for row in crate::rules::rows(call.shape(0), call.values(0)) {
        let mean = row.iter().sum::<f64>() / dim as f64;
        let mean_size = row.iter().map(|x| x.abs()).sum::<f64>() / dim as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / dim as f64;
        let rstd = 1.0 / (variance + eps).sqrt();
        for (i, x) in row.iter().enumerate() {
            y.push((x - mean) * rstd * weight(i) + bias(i));
            y_size.push((x.abs() + mean_size) * rstd * weight(i).abs() + bias(i).abs());
        }
        means.push(mean);
        mean_sizes.push(mean_size);
        rstds.push(rstd);
    }
    vec![
        OracleOutput { values: y, magnitudes: Some(y_size) },
        OracleOutput { values: means, magnitudes: Some(mean_sizes) },
        rstds.into(),
    ]
}

static LAYER_NORM_BACKWARD: OpDef = OpDef {
    name: "layer_norm_backward",
    doc: "Gradient of `layer_norm`. With `x̂ = (x − mean) · rstd` and `g = grad · weight`:\n\
          `dx = rstd · (g − mean(g) − x̂ · mean(g · x̂))`, `dweight = Σ_rows grad · x̂`, `dbias = Σ_rows grad`.\n\n\
          `dweight` and `dbias` have the dtype of `weight`, that of `x` without one.",
    inputs: &[input("grad"), input("x"), optional("weight"), input("mean"), input("rstd")],
    outputs: &[public("dx"), public("dweight"), public("dbias")],
    infer: |call| {
        call.require_shape(0, call.shape(1), "the shape of x")?;
        let dim = call.last_dim(1)?;
        let (x, rows) = (call.arg(1).spec(), &call.shape(1)[..call.shape(1).len() - 1]);
        call.require_shape(3, rows, "the rows of x")?;
        call.require_shape(4, rows, "the rows of x")?;
        if call.optional(2).is_some() {
            call.require_shape(2, &[dim], "the last axis of x")?;
        }
        let column = TensorSpec::new(call.optional(2).map_or(x.dtype, |weight| weight.dtype), &[dim]);
        Ok(smallvec![x, column.clone(), column])
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
        let make = |shape: &'static [usize], weight: bool| {
            let (rows, dim) = shape.split_at(shape.len() - 1);
            let start = sample(&[shape, shape]);
            let start = if weight { start.and(dim, Fill::Uniform(-2.0, 2.0)) } else { start.absent() };
            start.and(rows, Fill::Uniform(-0.5, 0.5)).and(rows, Fill::Uniform(0.5, 1.5))
        };
        let mut samples: Vec<Sample> = shapes().map(|shape| make(shape, true)).collect();
        samples.push(make(&[5, 20], false));
        samples
    },
    oracle: backward_oracle,
    tolerance: 8.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};

fn backward_oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let (grad, x, means, rstds) = (call.values(0), call.values(1), call.values(3), call.values(4));
    let dim = call.shape(1)[call.shape(1).len() - 1];
    let weight = |i: usize| if call.has(2) { call.values(2)[i] } else { 1.0 };
    let zeros = |len: usize| OracleOutput { values: vec![0.0; len], magnitudes: Some(vec![0.0; len]) };
    let (mut dx, mut dweight, mut dbias) = (zeros(x.len()), zeros(dim), zeros(dim));
    let add = |out: &mut OracleOutput, i: usize, value: f64, size: f64| {
        out.values[i] += value;
        out.magnitudes.as_mut().expect("made with magnitudes")[i] += size;
    };
    for (row, (mean, rstd)) in means.iter().zip(rstds).enumerate() {
        let at = |i: usize| row * dim + i;
        let xhat = |i: usize| (x[at(i)] - mean) * rstd;
        // The subtraction may cancel: its error counts with the size of its terms.
        let xhat_size = |i: usize| (x[at(i)].abs() + mean.abs()) * rstd;
        let g = |i: usize| grad[at(i)] * weight(i);
        let average = |f: &dyn Fn(usize) -> f64| (0..dim).map(f).sum::<f64>() / dim as f64;
        let (mean_g, mean_g_size) = (average(&g), average(&|i| g(i).abs()));
        let (mean_gx, mean_gx_size) = (average(&|i| g(i) * xhat(i)), average(&|i| g(i).abs() * xhat_size(i)));
        for i in 0..dim {
            let size = g(i).abs() + mean_g_size + xhat_size(i) * mean_gx_size;
            add(&mut dx, at(i), rstd * (g(i) - mean_g - xhat(i) * mean_gx), rstd * size);
            add(&mut dweight, i, grad[at(i)] * xhat(i), grad[at(i)].abs() * xhat_size(i));
            add(&mut dbias, i, grad[at(i)], grad[at(i)].abs());
        }
    }
    vec![dx, dweight, dbias]
}
