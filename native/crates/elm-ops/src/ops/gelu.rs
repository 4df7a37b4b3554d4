use std::f64::consts::PI;

use elm_core::{
    Attr, AttrDef, Attrs, Fill, OpDef, OracleCall, OracleOutput, Sample, attr, input, public, sample,
};

use super::unary::{FLOATS, erfc, samples, sigmoid};
use crate::rules::FLOAT_SAME;

pub static OPS: &[&OpDef] = &[&GELU, &GELU_BACKWARD];

const ATTRS: &[AttrDef] = &[attr::choice("approximate", &["none", "tanh"], "The formula for `Φ`.")];

static GELU: OpDef = OpDef {
    name: "gelu",
    doc: "The Gaussian error linear unit `x · Φ(x)` with `Φ(x) = (1 + erf(x / √2)) / 2`, elementwise; `\"tanh\"` takes \
          `Φ(x) ≈ (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2`.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: floats; integers and bool become f32.\n\n\
          Hendrycks and Gimpel, 2016, https://arxiv.org/abs/1606.08415",
    torch: "nn.functional.gelu",
    attrs: ATTRS,
    samples: || both_formulas(samples(Fill::Uniform(-6.0, 6.0))),
    oracle,
    tolerance: 8.0,
    ..FLOATS
};

static GELU_BACKWARD: OpDef = OpDef {
    name: "gelu_backward",
    doc: "Gradient of `gelu`: `dx = grad · (Φ(x) + x · Φ′(x))`. Exactly, `Φ′(x) = e^(−x²/2) / √(2π)`; by tanh, with \
          `u = √(2/π) · (x + 0.044715 x³)` and `Φ = s = 1 / (1 + e^(−2u))`: `Φ′ = 2 s (1 − s) · √(2/π) · (1 + 3 · 0.044715 x²)`.",
    inputs: &[input("grad"), input("x")],
    attrs: ATTRS,
    outputs: &[public("dx")],
    infer: |call| {
        let x = call.arg(1).spec();
        call.require_shape(0, &x.shape, "the shape of x")?;
        Ok(smallvec::smallvec![x])
    },
    signatures: FLOAT_SAME,
    samples: || {
        let shapes: [&[usize]; 6] = [&[], &[0, 3], &[1], &[33], &[4, 1, 7], &[17, 1100]];
        both_formulas(shapes.iter().map(|s| sample(&[s, s]).fill(1, Fill::Uniform(-6.0, 6.0))).collect())
    },
    oracle: oracle_backward,
    tolerance: 8.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};

fn both_formulas(samples: Vec<Sample>) -> Vec<Sample> {
    let tanh = samples.clone().into_iter().map(|sample| sample.attr("approximate", Attr::Choice(1)));
    let tanh: Vec<Sample> = tanh.collect();
    samples.into_iter().chain(tanh).collect()
}

/// `Φ(x)`, `Φ′(x)` and the size of the exponent in them, whose rounding they inherit.
fn distribution(attrs: &Attrs, x: f64) -> [f64; 3] {
    if attrs.choice("approximate") == 0 {
        return [0.5 * erfc(-x / 2f64.sqrt()), (-x * x / 2.0).exp() / (2.0 * PI).sqrt(), x * x / 2.0];
    }
    let root = (2.0 / PI).sqrt();
    let twice = 2.0 * root * (x + 0.044715 * x.powi(3));
    let slope = sigmoid(twice) * sigmoid(-twice) * 2.0 * root * (1.0 + 3.0 * 0.044715 * x * x);
    [sigmoid(twice), slope, twice.abs()]
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let (mut values, mut sizes) = (Vec::new(), Vec::new());
    for &x in call.values(0) {
        let [phi, _, exponent] = distribution(call.attrs, x);
        values.push(x * phi);
        sizes.push((x * phi).abs() * (1.0 + exponent));
    }
    vec![OracleOutput { magnitudes: Some(sizes), values }]
}

fn oracle_backward(call: &OracleCall) -> Vec<OracleOutput> {
    let (mut values, mut sizes) = (Vec::new(), Vec::new());
    for (&grad, &x) in call.values(0).iter().zip(call.values(1)) {
        let [phi, slope, exponent] = distribution(call.attrs, x);
        values.push(grad * (phi + x * slope));
        sizes.push((grad * (phi + (x * slope).abs())).abs() * (1.0 + exponent));
    }
    vec![OracleOutput { magnitudes: Some(sizes), values }]
}
