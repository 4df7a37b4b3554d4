//! Schemas of tensors that are made from numbers alone.

use elm_core::{Attr, AttrKind, DType, ErrorCode, Infer, OpDef, OpError, TensorSpec, attr, sample};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&FULL, &ARANGE];

const MAKES: OpDef = OpDef { differentiable: false, ..OpDef::EMPTY };

static FULL: OpDef = OpDef {
    name: "full",
    doc: "A tensor in which every element is `value`.\n\n\
          Shapes: `y` is `shape`. Dtypes: all; integers and bool take only values that they hold exactly.",
    torch: "full",
    numpy: "full",
    attrs: &[
        attr::positional("shape", AttrKind::Ints, "The shape of the result."),
        attr::positional("value", AttrKind::F64, "What every element is."),
        attr::dtype("dtype", DType::F32, "The dtype of the result."),
    ],
    infer: |call| {
        let dtype = call.attrs.dtype("dtype");
        require_fits(call, "value", dtype)?;
        Ok(smallvec![TensorSpec { dtype, shape: call.dims("shape")? }])
    },
    samples: || {
        let of = |shape: &[i64], value: f64, dtype: DType| {
            sample(&[]).ints("shape", shape).f64("value", value).attr("dtype", Attr::DType(dtype))
        };
        let mut samples: Vec<_> = DType::ALL.iter().map(|&dtype| of(&[3, 7], 1.0, dtype)).collect();
        samples.push(of(&[], -0.1, DType::F32));
        samples.push(of(&[0, 4], 0.1, DType::BF16));
        samples.push(of(&[130, 260], 0.1, DType::F16));
        samples.push(of(&[5], f64::NEG_INFINITY, DType::F64));
        samples.push(of(&[5], f64::NAN, DType::BF16));
        samples.push(of(&[5], -(2f64.powi(53)), DType::I64));
        samples.push(of(&[5], f64::from(u32::MAX), DType::U32));
        samples.push(of(&[5], -128.0, DType::I8));
        samples
    },
    oracle: |call| {
        let elements = call.outputs[0].shape.iter().product();
        vec![vec![call.attrs.f64("value"); elements].into()]
    },
    ..MAKES
};

static ARANGE: OpDef = OpDef {
    name: "arange",
    doc: "`start + i · step` for `i` of `[0, length)`.\n\n\
          Computed in f64 and rounded once; in whole numbers for integer dtypes.\n\n\
          Shapes: `y` is `[length]`. Dtypes: all but bool.",
    torch: "arange",
    numpy: "arange",
    attrs: &[
        attr::positional("start", AttrKind::F64, "The first element."),
        attr::positional("step", AttrKind::F64, "The distance of neighbours."),
        attr::positional("length", AttrKind::Int, "How many elements."),
        attr::dtype("dtype", DType::F32, "The dtype of the result."),
    ],
    infer: |call| {
        let (dtype, length) = (call.attrs.dtype("dtype"), call.attrs.int("length"));
        let length = usize::try_from(length).map_err(|_| {
            call.error(ErrorCode::InvalidArgument, format!("length must not be negative, got {length}"))
        })?;
        check_range(call, dtype, length)?;
        Ok(smallvec![TensorSpec::new(dtype, &[length])])
    },
    samples: || {
        let of = |start: f64, step: f64, length: i64, dtype: DType| {
            let counted = sample(&[]).f64("start", start).f64("step", step).int("length", length);
            counted.attr("dtype", Attr::DType(dtype))
        };
        let numeric = DType::ALL.iter().filter(|&&dtype| dtype != DType::Bool);
        let mut samples: Vec<_> = numeric.map(|&dtype| of(1.0, 3.0, 40, dtype)).collect();
        samples.push(of(0.0, 1.0, 0, DType::F32));
        samples.push(of(-1.5, 0.1, 40_001, DType::F32));
        samples.push(of(2.0, -0.3, 33, DType::F64));
        samples.push(of(2f64.powi(53) - 8.0, -1.0, 9, DType::I64));
        samples.push(of(5.0, -2.0, 20_000, DType::I32));
        samples
    },
    oracle: |call| {
        let (start, step) = (call.attrs.f64("start"), call.attrs.f64("step"));
        let length = call.outputs[0].shape[0];
        vec![(0..length).map(|i| start + i as f64 * step).collect::<Vec<_>>().into()]
    },
    internal: true,
    ..MAKES
};

/// Integers must hold the first and the last element, and all steps between must be whole.
fn check_range(call: &Infer, dtype: DType, length: usize) -> Result<(), OpError> {
    let (start, step) = (call.attrs.f64("start"), call.attrs.f64("step"));
    if dtype == DType::Bool {
        return Err(call.error(ErrorCode::DtypeMismatch, "dtype must be a number, got bool"));
    }
    if dtype.is_float() || length == 0 {
        return Ok(());
    }
    let last = start + (length - 1) as f64 * step;
    if step.fract() != 0.0 || !step.is_finite() || !fits(start, dtype) || !fits(last, dtype) {
        let message = format!("{dtype} cannot hold the numbers from {start} to {last} by steps of {step}");
        return Err(call.error(ErrorCode::InvalidArgument, message));
    }
    Ok(())
}

/// Refuses a number attribute that an integer or bool dtype does not hold exactly. Floats round it.
pub(super) fn require_fits(call: &Infer, name: &str, dtype: DType) -> Result<(), OpError> {
    let value = call.attrs.f64(name);
    if fits(value, dtype) {
        return Ok(());
    }
    let message = format!("{name} must be a number that {dtype} holds exactly, got {value}");
    Err(call.error(ErrorCode::InvalidArgument, message))
}

fn fits(value: f64, dtype: DType) -> bool {
    let within = |low: f64, high: f64| value.fract() == 0.0 && (low..high).contains(&value);
    match dtype {
        DType::I64 => within(-(2f64.powi(63)), 2f64.powi(63)),
        DType::I32 => within(-(2f64.powi(31)), 2f64.powi(31)),
        DType::U32 => within(0.0, 2f64.powi(32)),
        DType::I8 => within(-128.0, 128.0),
        DType::U8 => within(0.0, 256.0),
        DType::Bool => within(0.0, 2.0),
        _ => true,
    }
}
