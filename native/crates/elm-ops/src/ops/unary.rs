//! Schemas of the ops `y[i] = f(x[i])`.

use elm_core::{DType, Fill, OpDef, Promotion, Sample, TensorSpec, input, sample};
use smallvec::smallvec;

use crate::rules::{FLOAT1, NUMERIC_SAME, elementwise, same_as_first};

/// Infinities, NaN, both zeros, halves, numbers near the ends of the half-precision and f32 ranges.
pub const EDGES: &[f64] = &[
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    1e-3,
    -1e-3,
    90.0,
    -90.0,
    1e-30,
    1e30,
    -1e30,
    60_000.0,
    12_345.678,
];

/// Every rank that a loop treats in its own way, edges of the vector width, and more than one task.
pub(super) fn samples(fill: Fill) -> Vec<Sample> {
    let shapes: [&[usize]; 6] = [&[], &[0, 3], &[1], &[33], &[4, 1, 7], &[17, 1100]];
    let mut all: Vec<Sample> = shapes.iter().map(|shape| sample(&[shape]).fill(0, fill)).collect();
    all.push(sample(&[&[3, EDGES.len()]]).fill(0, Fill::Values(EDGES)).dtypes(elm_core::FLOAT));
    all
}

pub(super) const FLOATS: OpDef = OpDef {
    inputs: &[input("x")],
    infer: same_as_first,
    signatures: FLOAT1,
    samples: || samples(Fill::Uniform(-2.0, 2.0)),
    promotion: Promotion::Float,
    ..OpDef::EMPTY
};
/// Functions that go on for a while.
const WIDE: OpDef = OpDef { samples: || samples(Fill::Uniform(-12.0, 12.0)), ..FLOATS };
const POSITIVE: OpDef = OpDef { samples: || samples(Fill::Uniform(0.001, 30.0)), ..FLOATS };
/// Step functions, whose derivative is 0 wherever there is one.
const STEPS: OpDef = OpDef { promotion: Promotion::None, differentiable: false, ..WIDE };
const NUMERIC: OpDef = OpDef { signatures: NUMERIC_SAME, promotion: Promotion::None, ..FLOATS };
const SIGN: OpDef = OpDef { differentiable: false, ..NUMERIC };
const TESTS: OpDef = OpDef {
    infer: |call| Ok(smallvec![TensorSpec::new(DType::Bool, call.shape(0))]),
    promotion: Promotion::None,
    differentiable: false,
    ..FLOATS
};

/// One op: base, name, names in torch and NumPy, definition, truth.
macro_rules! op {
    ($base:ident, $name:literal, $torch:literal, $numpy:literal, $doc:expr, $truth:expr) => {
        &OpDef {
            name: $name,
            doc: $doc,
            torch: $torch,
            numpy: $numpy,
            oracle: |call| {
                let truth: fn(f64) -> f64 = $truth;
                elementwise(call, |v| truth(v[0]))
            },
            ..$base
        }
    };
}
/// An op over floats to which integers may be given.
macro_rules! float {
    ($base:ident, $name:literal, $torch:literal, $numpy:literal, $doc:literal, $truth:expr) => {
        op!($base, $name, $torch, $numpy, concat!($doc, ", elementwise.\n\nShapes: `x` and `y` are `[...]`. Dtypes: floats; integers and bool become f32."), $truth)
    };
}
macro_rules! step {
    ($name:literal, $torch:literal, $numpy:literal, $doc:literal, $truth:expr) => {
        op!(
            STEPS,
            $name,
            $torch,
            $numpy,
            concat!($doc, ", elementwise.\n\nShapes: `x` and `y` are `[...]`. Dtypes: floats."),
            $truth
        )
    };
}
macro_rules! numeric {
    ($name:literal, $torch:literal, $numpy:literal, $doc:literal, $truth:expr) => {
        op!(
            NUMERIC,
            $name,
            $torch,
            $numpy,
            concat!(
                $doc,
                ", elementwise.\n\nShapes: `x` and `y` are `[...]`. Dtypes: all but bool; integers wrap."
            ),
            $truth
        )
    };
}
macro_rules! test {
    ($name:literal, $doc:literal, $truth:expr) => {
        op!(
            TESTS,
            $name,
            $name,
            $name,
            concat!($doc, ", elementwise.\n\nShapes: `x` and `y` are `[...]`. Dtypes: floats → bool."),
            $truth
        )
    };
}

#[rustfmt::skip]
pub static OPS: &[&OpDef] = &[
    float!(FLOATS, "exp", "exp", "exp", "`eˣ`", f64::exp),
    float!(FLOATS, "exp2", "exp2", "exp2", "`2ˣ`", f64::exp2),
    float!(FLOATS, "expm1", "expm1", "expm1", "`eˣ − 1`, accurate near 0", f64::exp_m1),
    float!(POSITIVE, "log", "log", "log", "The natural logarithm `ln x` (NaN below 0)", f64::ln),
    float!(POSITIVE, "log2", "log2", "log2", "The logarithm `log₂ x` (NaN below 0)", f64::log2),
    float!(FLOATS, "log1p", "log1p", "log1p", "`ln(1 + x)`, accurate near 0", f64::ln_1p),
    float!(POSITIVE, "sqrt", "sqrt", "sqrt", "`√x` (NaN below 0)", f64::sqrt),
    float!(POSITIVE, "rsqrt", "rsqrt", "", "`1 / √x`", |x| 1.0 / x.sqrt()),
    float!(POSITIVE, "reciprocal", "reciprocal", "reciprocal", "`1 / x`", |x| 1.0 / x),
    float!(WIDE, "sin", "sin", "sin", "The sine of `x` in radians", f64::sin),
    float!(WIDE, "cos", "cos", "cos", "The cosine of `x` in radians", f64::cos),
    float!(WIDE, "tanh", "tanh", "tanh", "The hyperbolic tangent of `x`", f64::tanh),
    float!(WIDE, "sigmoid", "sigmoid", "", "`1 / (1 + e⁻ˣ)`", sigmoid),
    float!(WIDE, "silu", "nn.functional.silu", "", "`x / (1 + e⁻ˣ)`, also called swish", |x| x * sigmoid(x)),
    float!(FLOATS, "erf", "erf", "", "The error function `2/√π · ∫₀ˣ e^(−t²) dt`", erf),
    numeric!("neg", "neg", "negative", "`−x`", |x| -x),
    numeric!("abs", "abs", "abs", "`|x|`; the least integer of a dtype has no opposite and stays", f64::abs),
    numeric!("square", "square", "square", "`x²`", |x| x * x),
    numeric!("relu", "nn.functional.relu", "", "`max(x, 0)`; NaN stays NaN", |x| if x < 0.0 { 0.0 } else { x }),
    op!(SIGN, "sign", "sign", "sign", "−1, 0 or 1 by the sign of `x`, elementwise; NaN stays NaN.\n\nShapes: `x` and `y` are `[...]`. Dtypes: all but bool.", sign),
    step!("floor", "floor", "floor", "The greatest whole number that is not above `x`", f64::floor),
    step!("ceil", "ceil", "ceil", "The least whole number that is not below `x`", f64::ceil),
    step!("round", "round", "round", "The nearest whole number, halves to the even one", f64::round_ties_even),
    step!("trunc", "trunc", "trunc", "`x` without its fraction", f64::trunc),
    test!("isnan", "Whether `x` is NaN", |x| f64::from(u8::from(x.is_nan()))),
    test!("isinf", "Whether `x` is an infinity", |x| f64::from(u8::from(x.is_infinite()))),
    test!("isfinite", "Whether `x` is neither NaN nor an infinity", |x| f64::from(u8::from(x.is_finite()))),
];

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x * 0.0
    }
}

/// `erf x = 2/√π · e^(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (2n+1)!!`: all terms have one sign, so nothing cancels.
fn erf(x: f64) -> f64 {
    if x.abs() >= 6.0 {
        return 1f64.copysign(x);
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

/// `1 − erf x`; above 1 by Laplace's continued fraction `e^(−x²)/√π · 1/(x + ½/(x + 1/(x + 3/2/(x + …))))`.
pub(super) fn erfc(x: f64) -> f64 {
    if x < 1.0 {
        return 1.0 - erf(x);
    }
    let tail = (1..200).rev().fold(x, |tail, n| x + f64::from(n) / 2.0 / tail);
    (-x * x).exp() / std::f64::consts::PI.sqrt() / tail
}

#[cfg(test)]
mod tests {
    use super::{erf, erfc};

    /// Values from the NIST Digital Library of Mathematical Functions, §7.23 tables (Abramowitz and Stegun 7.1).
    #[test]
    fn the_error_function_is_right() {
        for (x, want) in [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)]
        {
            assert!((erf(x) - want).abs() < 1e-10, "{x}");
            assert!((erf(-x) + want).abs() < 1e-10, "{x}");
            assert!((erfc(x) + want - 1.0).abs() < 1e-10, "{x}");
        }
        // The two formulas agree where both hold.
        for i in 10..40 {
            let x = f64::from(i) / 10.0;
            assert!((erfc(x) - (1.0 - erf(x))).abs() < 1e-14, "{x}");
        }
    }
}
