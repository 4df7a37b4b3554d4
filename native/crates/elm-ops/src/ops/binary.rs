//! Schemas of the ops `y[i] = f(a[i], b[i])` on numbers.

use elm_core::{DType, Fill, INT, OpDef, OracleCall, OracleOutput, Promotion, Sample, input, sample};

use crate::rules::{FLOAT1, NUMERIC_SAME, broadcast, elementwise};

/// Broadcasts of every kind, with edges of the vector width.
pub fn binary_samples() -> Vec<Sample> {
    let shapes: [[&[usize]; 2]; 9] = [
        [&[], &[]],
        [&[0, 3], &[3]],
        [&[1], &[1]],
        [&[33], &[33]],
        [&[2, 3, 5], &[3, 5]],
        [&[4, 1], &[1, 7]],
        [&[17, 129], &[]],
        [&[], &[5, 33]],
        [&[129, 260], &[129, 260]],
    ];
    let mut all: Vec<Sample> = shapes.iter().map(|pair| sample(pair)).collect();
    all.push(edges());
    all
}

/// Every pair of two short lists: infinities, NaN, zeros, equal and opposite numbers.
pub fn edges() -> Sample {
    const A: &[f64] =
        &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0, 7.5, -7.5, 1e-20, 2e30];
    const B: &[f64] = &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.0, -1.0, 2.5, -2.5, 3.0];
    sample(&[&[A.len(), 1], &[B.len()]])
        .fill(0, Fill::Values(A))
        .fill(1, Fill::Values(B))
        .dtypes(elm_core::FLOAT)
}

const BINARY: OpDef = OpDef {
    inputs: &[input("a"), input("b")],
    infer: broadcast,
    signatures: NUMERIC_SAME,
    samples: binary_samples,
    promotion: Promotion::Common,
    ..OpDef::EMPTY
};

/// One op: name, names in torch and NumPy, doc, truth.
macro_rules! op {
    ($name:literal, $torch:literal, $numpy:literal, $doc:literal, $truth:expr) => {
        &OpDef {
            name: $name,
            doc: concat!(
                $doc,
                "\n\nShapes broadcast. Dtypes: all but bool, promoted to the common one; integers wrap."
            ),
            torch: $torch,
            numpy: $numpy,
            oracle: |call| {
                let truth: fn(f64, f64) -> f64 = $truth;
                elementwise(call, |v| truth(v[0], v[1]))
            },
            ..BINARY
        }
    };
}

#[rustfmt::skip]
pub static OPS: &[&OpDef] = &[
    op!("add", "add", "add", "`a + b`, elementwise.", |a, b| a + b),
    op!("sub", "sub", "subtract", "`a − b`, elementwise.", |a, b| a - b),
    op!("mul", "mul", "multiply", "`a · b`, elementwise.", |a, b| a * b),
    op!("maximum", "maximum", "maximum", "The larger of `a` and `b`, elementwise; NaN if either is NaN.",
        |a, b| if a > b || a.is_nan() { a } else { b }),
    op!("minimum", "minimum", "minimum", "The smaller of `a` and `b`, elementwise; NaN if either is NaN.",
        |a, b| if a < b || a.is_nan() { a } else { b }),
    &DIV,
    &FLOOR_DIVIDE,
    &REMAINDER,
    &POW,
];

static DIV: OpDef = OpDef {
    name: "div",
    doc: "`a / b`, elementwise.\n\n\
          Shapes broadcast. Dtypes: floats, promoted to the common one; integers and bool become f32.",
    torch: "div",
    numpy: "divide",
    signatures: FLOAT1,
    promotion: Promotion::Float,
    oracle: |call| elementwise(call, |v| v[0] / v[1]),
    ..BINARY
};

/// The integer samples hold zeros as divisors.
static FLOOR_DIVIDE: OpDef = OpDef {
    name: "floor_divide",
    doc: "`⌊a / b⌋`, elementwise, as Python's `//`; an integer divided by 0 gives 0.\n\n\
          Shapes broadcast. Dtypes: all but bool, promoted to the common one; integers wrap.",
    torch: "floor_divide",
    numpy: "floor_divide",
    oracle: |call| division(call, floor_divide),
    differentiable: false,
    ..BINARY
};

static REMAINDER: OpDef = OpDef {
    name: "remainder",
    doc: "`a − b · ⌊a / b⌋`, elementwise: the remainder with the sign of `b`, as Python's `%`; of an integer \
          divided by 0 it is 0.\n\nShapes broadcast. Dtypes: all but bool, promoted to the common one.",
    torch: "remainder",
    numpy: "remainder",
    oracle: |call| division(call, remainder),
    ..BINARY
};

fn division(call: &OracleCall, f: fn(f64, f64) -> f64) -> Vec<OracleOutput> {
    let whole = !call.spec(0).dtype.is_float();
    elementwise(call, |v| if whole && v[1] == 0.0 { 0.0 } else { f(v[0], v[1]) })
}

fn remainder(a: f64, b: f64) -> f64 {
    let r = a % b;
    if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
}

/// The quotient may round up to a whole number that it does not reach; then the exact rest has the wrong sign.
fn floor_divide(a: f64, b: f64) -> f64 {
    if b == 0.0 || a.is_nan() || b.is_nan() {
        return a / b;
    }
    if a.is_infinite() {
        return f64::NAN;
    }
    if b.is_infinite() {
        return if a != 0.0 && (a < 0.0) != (b < 0.0) { -1.0 } else { 0.0 };
    }
    let quotient = (a / b).floor();
    let rest = quotient.mul_add(-b, a);
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { quotient - 1.0 } else { quotient }
}

static POW: OpDef = OpDef {
    name: "pow",
    doc: "`aᵇ`, elementwise; an integer to a negative power is `1 / a^|b|` without its fraction (0 for `a = 0`).\n\n\
          Shapes broadcast. Dtypes: all but bool, promoted to the common one; integers wrap.",
    torch: "pow",
    numpy: "power",
    samples: || {
        let shapes: [[&[usize]; 2]; 6] = [
            [&[], &[]],
            [&[0, 3], &[3]],
            [&[33], &[33]],
            [&[4, 1], &[1, 7]],
            [&[17, 129], &[]],
            [&[65, 260], &[65, 260]],
        ];
        let positive =
            shapes.iter().map(|pair| sample(pair).fill(0, Fill::Uniform(0.1, 4.0)).dtypes(elm_core::FLOAT));
        let whole =
            shapes.iter().map(|pair| sample(pair).fill(0, Fill::Ints(0, 10)).fill(1, Fill::Ints(0, 8)));
        const SIGNED: &[DType] = &[DType::I64, DType::I32, DType::I8];
        let signed = || sample(&[&[40], &[40]]).fill(0, Fill::Ints(-3, 4));
        positive
            .chain(whole.map(|s| s.dtypes(INT)))
            .chain([
                signed().fill(1, Fill::Ints(0, 8)).dtypes(SIGNED),
                signed().fill(1, Fill::Ints(-4, 3)).dtypes(SIGNED),
            ])
            .chain([edges(), signed().fill(1, Fill::Ints(-4, 4)).dtypes(elm_core::FLOAT)])
            .collect()
    },
    oracle: |call| {
        let whole = !call.spec(0).dtype.is_float();
        let truth = |a: f64, b: f64| match (whole, a == 0.0 && b < 0.0) {
            (true, true) => 0.0,
            (true, false) => a.powf(b).trunc(),
            (false, _) => a.powf(b),
        };
        elementwise(call, |v| truth(v[0], v[1]))
    },
    ..BINARY
};
