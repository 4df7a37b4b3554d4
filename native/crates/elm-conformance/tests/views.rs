//! Views share memory with what they look at; copies do not; writes see their values as they were before.

mod common;

use std::sync::Arc;

use common::{call, f32s, i32s, ints, numbers, one};
use elm_core::{Attr, ErrorCode};
use elm_engine::{Env, Handle};

fn counted(env: &mut Env, shape: &[usize]) -> Handle {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| i as f32).collect();
    f32s(env, shape, &values)
}

fn share(env: &Env, a: Handle, b: Handle) -> bool {
    let storage = |handle| env.get(handle).unwrap().storage.clone().unwrap();
    Arc::ptr_eq(&storage(a), &storage(b))
}

fn transposed(env: &mut Env, x: Handle) -> Handle {
    one(env, "permute", &[x], &[("axes", ints(&[1, 0]))])
}

#[test]
fn views_share_memory_and_copies_do_not() {
    let mut env = Env::default();
    let x = counted(&mut env, &[4, 6]);
    let turned = transposed(&mut env, x);
    for (op, input, attrs, shares) in [
        ("reshape", x, vec![("shape", ints(&[8, 3]))], true),
        ("reshape", turned, vec![("shape", ints(&[2, 3, 4]))], true),
        ("reshape", turned, vec![("shape", ints(&[24]))], false),
        ("view", turned, vec![("shape", ints(&[6, 2, -1]))], true),
        ("broadcast_to", x, vec![("shape", ints(&[3, -1, -1]))], true),
        ("contiguous", x, vec![], true),
        ("contiguous", turned, vec![], false),
        ("copy", x, vec![], false),
    ] {
        let y = one(&mut env, op, &[input], &attrs);
        assert_eq!(share(&env, input, y), shares, "{op}");
    }
}

#[test]
fn a_view_that_strides_cannot_express_names_reshape() {
    let mut env = Env::default();
    let x = counted(&mut env, &[4, 6]);
    let turned = transposed(&mut env, x);
    let error = call(&mut env, "view", &[turned], &[("shape", ints(&[24]))]).unwrap_err();
    assert_eq!(error.code, ErrorCode::ShapeMismatch);
    assert!(error.message.contains("use reshape"), "{error}");
    let error = call(&mut env, "view", &[x], &[("shape", ints(&[5, 5]))]).unwrap_err();
    assert!(error.message.contains("24 elements"), "{error}");
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    let mut env = Env::default();
    let x = counted(&mut env, &[4, 6]);
    let empty = counted(&mut env, &[0, 6]);
    for (op, input, attr, values, code) in [
        ("reshape", x, "shape", &[-1, -1][..], ErrorCode::InvalidArgument),
        ("reshape", x, "shape", &[-2, 12], ErrorCode::InvalidArgument),
        ("reshape", x, "shape", &[5, -1], ErrorCode::ShapeMismatch),
        ("reshape", empty, "shape", &[0, -1], ErrorCode::ShapeMismatch),
        ("reshape", x, "shape", &[1 << 40, 1 << 40], ErrorCode::ShapeMismatch),
        ("permute", x, "axes", &[0, 0], ErrorCode::InvalidArgument),
        ("permute", x, "axes", &[0], ErrorCode::InvalidArgument),
        ("permute", x, "axes", &[0, 2], ErrorCode::InvalidArgument),
        ("broadcast_to", x, "shape", &[6], ErrorCode::ShapeMismatch),
        ("broadcast_to", x, "shape", &[4, 7], ErrorCode::ShapeMismatch),
        ("broadcast_to", x, "shape", &[-1, 4, 6], ErrorCode::ShapeMismatch),
        ("broadcast_to", x, "shape", &[1 << 40, 1 << 40, 4, 6], ErrorCode::ShapeMismatch),
        ("pad", x, "pads", &[1, 0, -1, 0], ErrorCode::InvalidArgument),
        ("pad", x, "pads", &[1, 0], ErrorCode::InvalidArgument),
    ] {
        let error = call(&mut env, op, &[input], &[(attr, ints(values))]).unwrap_err();
        assert_eq!(error.code, code, "{op} {values:?}: {error}");
    }
    let three = counted(&mut env, &[3, 6, 1]);
    let error = call(&mut env, "concat", &[x, three], &[]).unwrap_err();
    assert!(error.code == ErrorCode::ShapeMismatch && error.message.contains("number 1"), "{error}");
    assert_eq!(call(&mut env, "concat", &[], &[]).unwrap_err().code, ErrorCode::InvalidArgument);
}

/// A slice of one axis as attributes.
fn slice(start: i64, size: i64, step: i64) -> [(&'static str, Attr); 3] {
    [("starts", ints(&[start])), ("sizes", ints(&[size])), ("steps", ints(&[step]))]
}

#[test]
fn an_assignment_reads_its_value_before_it_writes() {
    let mut env = Env::default();
    for size in [6usize, 50_000] {
        let x = counted(&mut env, &[size]);
        let (n, before) = (size as i64, numbers(&env, x));
        let tail = one(&mut env, "slice", &[x], &slice(1, n - 1, 1));
        let head = one(&mut env, "slice", &[x], &slice(0, n - 1, 1));
        call(&mut env, "assign", &[tail, head], &[]).unwrap();
        let shifted = numbers(&env, x);
        assert!(shifted[0] == before[0] && shifted[1..] == before[..size - 1]);

        let backwards = one(&mut env, "slice", &[x], &slice(n - 1, n, -1));
        call(&mut env, "assign", &[x, backwards], &[]).unwrap();
        let reversed: Vec<f64> = shifted.iter().rev().copied().collect();
        assert_eq!(numbers(&env, x), reversed);
    }
}

#[test]
fn rows_assigned_from_the_same_tensor_are_read_first() {
    let mut env = Env::default();
    for width in [2usize, 9000] {
        let x = counted(&mut env, &[3, width]);
        let before = numbers(&env, x);
        let ids = i32s(&mut env, &[3], &[1, 2, 0]);
        call(&mut env, "assign_rows", &[x, ids, x], &[]).unwrap();
        let after = numbers(&env, x);
        assert_eq!(after[width..], before[..2 * width]);
        assert_eq!(after[..width], before[2 * width..]);
    }
}

#[test]
fn numbers_that_an_integer_cannot_hold_are_refused() {
    let mut env = Env::default();
    let dtype = |dtype| ("dtype", Attr::DType(dtype));
    let full = |value: f64| vec![("shape", ints(&[2])), ("value", Attr::F64(value))];
    for (value, kind) in [
        (0.5, elm_core::DType::I32),
        (256.0, elm_core::DType::U8),
        (-1.0, elm_core::DType::U32),
        (2.0, elm_core::DType::Bool),
        (f64::NAN, elm_core::DType::I64),
    ] {
        let mut attrs = full(value);
        attrs.push(dtype(kind));
        let error = call(&mut env, "full", &[], &attrs).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{value} {kind}");
    }
    let range = [
        ("start", Attr::F64(250.0)),
        ("step", Attr::F64(1.0)),
        ("length", Attr::Int(7)),
        dtype(elm_core::DType::U8),
    ];
    assert!(call(&mut env, "arange", &[], &range).unwrap_err().message.contains("from 250 to 256"));
}
