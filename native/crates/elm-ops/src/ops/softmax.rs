//! Schemas of softmax, its logarithm and their gradients.

use elm_core::{
    AttrDef, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Promotion, Sample, Specs, attr, input,
    public, sample,
};
use smallvec::smallvec;

use crate::rules::{FLOAT_SAME, FLOAT1, along_axis, along_axis2};

pub static OPS: &[&OpDef] = &[&SOFTMAX, &LOG_SOFTMAX, &SOFTMAX_BACKWARD, &LOG_SOFTMAX_BACKWARD];

const ATTRS: &[AttrDef] = &[attr::axis("axis", -1, "The axis whose elements are normalized together.")];

const FORWARD: OpDef = OpDef {
    inputs: &[input("x")],
    attrs: ATTRS,
    infer,
    signatures: FLOAT1,
    samples: || {
        // Masked attention scores: −∞, far apart, and a row of nothing but −∞.
        const EDGES: &[f64] = &[0.0, f64::NEG_INFINITY, 80.0, -90.0, 1e4, -1e4, 3.0, f64::NEG_INFINITY];
        let mut all = samples(|shape| sample(&[shape]).fill(0, Fill::Uniform(-8.0, 8.0)));
        all.push(sample(&[&[3, 8]]).fill(0, Fill::Values(EDGES)));
        all.push(sample(&[&[5, 8]]).fill(0, Fill::Values(EDGES)).int("axis", 0));
        all.push(sample(&[&[3, 5]]).fill(0, Fill::Constant(f64::NEG_INFINITY)));
        all.push(sample(&[&[2, 5]]).fill(0, Fill::Values(&[1.0, f64::NAN, 2.0])));
        all
    },
    promotion: Promotion::Float,
    tolerance: 8.0,
    ..OpDef::EMPTY
};

const BACKWARD: OpDef = OpDef {
    inputs: &[input("grad"), input("y")],
    outputs: &[public("dx")],
    infer: |call| {
        call.require_shape(0, call.shape(1), "the shape of y")?;
        infer(call)
    },
    signatures: FLOAT_SAME,
    differentiable: false,
    internal: true,
    ..FORWARD
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    call.axis("axis", call.shape(0).len())?;
    Ok(smallvec![call.arg(0).spec()])
}

fn samples(make: fn(&[usize]) -> Sample) -> Vec<Sample> {
    let cases: [(&[usize], i64); 10] = [
        (&[1], -1),
        (&[0, 3], -1),
        (&[3, 0], 1),
        (&[3, 33], -1),
        (&[3, 33], 0),
        (&[4, 17, 5], 1),
        (&[2, 3, 5, 16], 2),
        (&[130, 65], -1),
        (&[70, 130], 0),
        (&[2, 9001], 1),
    ];
    cases.iter().map(|(shape, axis)| make(shape).int("axis", *axis)).collect()
}

fn axis(call: &OracleCall) -> usize {
    call.attrs.axis("axis", call.shape(0).len())
}

/// The largest element (NaN left aside) and the logarithm of `Σ e^(x − largest)`.
fn normalizer(line: &[f64]) -> (f64, f64) {
    let most = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (most, line.iter().map(|v| (v - most).exp()).sum::<f64>().ln())
}

static SOFTMAX: OpDef = OpDef {
    name: "softmax",
    doc: "`eˣ / Σ eˣ` along `axis` without overflow; a line of nothing but −∞ gives NaN.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: floats; integers and bool become f32.",
    torch: "softmax",
    numpy: "",
    oracle: |call| {
        let over = |f: fn(f64, f64, f64) -> f64| {
            along_axis(call.shape(0), axis(call), call.values(0), |line| {
                let (most, log) = normalizer(line);
                line.iter().map(|&v| f(v, most, log)).collect()
            })
        };
        let values = over(|v, most, log| (v - most - log).exp());
        // The rounding of an exponent is a relative error of its exponential.
        let magnitudes = over(|v, most, log| (v - most - log).exp() * (4.0 + (v - most).abs().min(1e3)));
        vec![OracleOutput { values, magnitudes: Some(magnitudes) }]
    },
    ..FORWARD
};

static LOG_SOFTMAX: OpDef = OpDef {
    name: "log_softmax",
    doc: "`x − ln Σ eˣ` along `axis` without overflow; a line of nothing but −∞ gives NaN.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: floats; integers and bool become f32.",
    torch: "log_softmax",
    numpy: "",
    oracle: |call| {
        let over = |f: fn(f64, f64, f64) -> f64| {
            along_axis(call.shape(0), axis(call), call.values(0), |line| {
                let (most, log) = normalizer(line);
                line.iter().map(|&v| f(v, most, log)).collect()
            })
        };
        let values = over(|v, most, log| v - most - log);
        let magnitudes = over(|v, most, log| v.abs() + most.abs() + log.abs() + 1.0);
        vec![OracleOutput { values, magnitudes: Some(magnitudes) }]
    },
    ..FORWARD
};

static SOFTMAX_BACKWARD: OpDef = OpDef {
    name: "softmax_backward",
    doc: "Gradient of `softmax`: `dx = y · (grad − Σ grad · y)`, the sum along `axis`.",
    samples: || samples(|shape| sample(&[shape, shape]).fill(1, Fill::Uniform(0.0, 1.0))),
    oracle: |call| {
        let (grad, y) = (call.values(0), call.values(1));
        let dx = along_axis2(call.shape(0), axis(call), grad, y, |grad, y| {
            let dot: f64 = grad.iter().zip(y).map(|(g, y)| g * y).sum();
            grad.iter().zip(y).map(|(g, y)| y * (g - dot)).collect()
        });
        let sizes = along_axis2(call.shape(0), axis(call), grad, y, |grad, y| {
            let dot: f64 = grad.iter().zip(y).map(|(g, y)| (g * y).abs()).sum();
            grad.iter().zip(y).map(|(g, y)| y.abs() * (g.abs() + dot)).collect()
        });
        vec![OracleOutput { values: dx, magnitudes: Some(sizes) }]
    },
    ..BACKWARD
};

static LOG_SOFTMAX_BACKWARD: OpDef = OpDef {
    name: "log_softmax_backward",
    doc: "Gradient of `log_softmax`: `dx = grad − e^y · Σ grad`, the sum along `axis`.",
    samples: || samples(|shape| sample(&[shape, shape]).fill(1, Fill::Uniform(-6.0, 0.0))),
    oracle: |call| {
        let (grad, y) = (call.values(0), call.values(1));
        let dx = along_axis2(call.shape(0), axis(call), grad, y, |grad, y| {
            let sum: f64 = grad.iter().sum();
            grad.iter().zip(y).map(|(g, y)| g - y.exp() * sum).collect()
        });
        let sizes = along_axis2(call.shape(0), axis(call), grad, y, |grad, y| {
            let sum: f64 = grad.iter().map(|g| g.abs()).sum();
            grad.iter().zip(y).map(|(g, y)| g.abs() + y.exp() * sum * (1.0 + y.abs())).collect()
        });
        vec![OracleOutput { values: dx, magnitudes: Some(sizes) }]
    },
    ..BACKWARD
};
