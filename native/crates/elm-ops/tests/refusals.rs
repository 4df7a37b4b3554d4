//! Calls that shape rules must refuse, and the error codes that callers match.

use elm_core::{Arg, DType, ErrorCode, Infer, Layout, Sample, sample};

/// The code with which `op` refuses the call; `None` if it takes it.
fn refusal(op: &str, call: Sample) -> Option<ErrorCode> {
    let op = elm_ops::find(op).unwrap_or_else(|| panic!("there is no op {op}"));
    let layouts: Vec<Layout> =
        call.inputs.iter().flatten().map(|input| Layout::contiguous(&input.shape)).collect();
    let inputs: Vec<_> = layouts.iter().map(|layout| Some(Arg { dtype: DType::F32, layout })).collect();
    let infer = Infer { op, inputs: &inputs, attrs: &call.attrs(op) };
    infer.check().and_then(|()| (op.infer)(&infer)).err().map(|error| error.code)
}

const INVALID: Option<ErrorCode> = Some(ErrorCode::InvalidArgument);
const SHAPE: Option<ErrorCode> = Some(ErrorCode::ShapeMismatch);

#[test]
fn extremes_of_nothing_have_no_value() {
    for op in ["max", "min"] {
        assert_eq!(refusal(op, sample(&[&[0, 3]]).ints("axis", &[0])), INVALID);
        assert_eq!(refusal(op, sample(&[&[0, 3]])), INVALID);
        // There is nothing to give a value to.
        assert_eq!(refusal(op, sample(&[&[0, 3]]).ints("axis", &[1])), None);
    }
    for op in ["argmax", "argmin"] {
        assert_eq!(refusal(op, sample(&[&[0, 3]])), INVALID);
        assert_eq!(refusal(op, sample(&[&[3, 0]]).int("axis", 1)), INVALID);
        assert_eq!(refusal(op, sample(&[&[3, 0]]).int("axis", 0)), None);
    }
    assert_eq!(refusal("sum", sample(&[&[0, 3]])), None);
}

#[test]
fn axes_must_exist_and_differ() {
    assert_eq!(refusal("sum", sample(&[&[2, 3]]).ints("axis", &[2])), INVALID);
    assert_eq!(refusal("sum", sample(&[&[2, 3]]).ints("axis", &[1, -1])), INVALID);
    for op in ["softmax", "log_softmax", "cumsum", "sort"] {
        assert_eq!(refusal(op, sample(&[&[2, 3]]).int("axis", -3)), INVALID, "{op}");
        assert_eq!(refusal(op, sample(&[&[]])), INVALID, "{op}");
    }
    assert_eq!(refusal("argmax", sample(&[&[2, 3]]).int("axis", 2)), INVALID);
    assert_eq!(refusal("tril", sample(&[&[3]])), SHAPE);
}

#[test]
fn operands_must_fit() {
    assert_eq!(refusal("add", sample(&[&[2, 3], &[2]])), SHAPE);
    assert_eq!(refusal("softmax_backward", sample(&[&[2, 3], &[3, 2]])), SHAPE);
    assert_eq!(refusal("add_rms_norm", sample(&[&[2, 3], &[2, 3], &[3]])), None);
    assert_eq!(refusal("add_rms_norm", sample(&[&[2, 3], &[3], &[3]])), SHAPE);
    assert_eq!(refusal("add_rms_norm", sample(&[&[2, 3], &[2, 3], &[2]])), SHAPE);
    assert_eq!(refusal("logical_and", sample(&[&[2], &[2]])), Some(ErrorCode::DtypeMismatch));
    assert_eq!(refusal("topk", sample(&[&[2, 3]]).int("k", 4)), INVALID);
    assert_eq!(refusal("topk", sample(&[&[2, 3]]).int("k", -1)), INVALID);
    assert_eq!(refusal("topk", sample(&[&[2, 3]]).int("k", 3)), None);
}

#[test]
fn clamp_wants_a_bound_that_is_a_number() {
    assert_eq!(refusal("clamp", sample(&[&[2]])), INVALID);
    assert_eq!(refusal("clamp", sample(&[&[2]]).f64("min", f64::NAN)), INVALID);
    assert_eq!(refusal("clamp", sample(&[&[2]]).f64("max", f64::INFINITY)), None);
}
