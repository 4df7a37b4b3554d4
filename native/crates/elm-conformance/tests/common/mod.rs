//! Calls on the CPU as the front end makes them.

#![allow(dead_code)]

use elm_core::{Attr, Attrs, DType, OpDef, OpError};
use elm_engine::{Call, Env, Handle};

pub fn op(name: &str) -> &'static OpDef {
    elm_ops::find(name).unwrap_or_else(|| panic!("there is no op {name}"))
}

/// Attributes in schema order; those not named have their defaults.
pub fn attrs(name: &str, given: &[(&str, Attr)]) -> Attrs {
    let defs = op(name).attrs;
    let value = |def: &elm_core::AttrDef| {
        let named = given.iter().find(|(name, _)| *name == def.name).map(|(_, value)| value.clone());
        named.or_else(|| def.default_value()).unwrap_or_else(|| panic!("{name} needs {}", def.name))
    };
    Attrs { defs, values: defs.iter().map(value).collect() }
}

pub fn ints(values: &[i64]) -> Attr {
    Attr::Ints(values.iter().copied().collect())
}

/// The outputs of a call.
pub fn call(
    env: &mut Env,
    name: &str,
    inputs: &[Handle],
    given: &[(&str, Attr)],
) -> Result<Vec<Handle>, OpError> {
    let index = elm_ops::OPS.iter().position(|op| op.name == name).expect("op() has found it");
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    let call = Call { op: index, inputs: &inputs, attrs: attrs(name, given), device: 0, wanted: u32::MAX };
    Ok(env.dispatch(call)?.into_iter().flatten().collect())
}

/// The one output of a call that must work.
pub fn one(env: &mut Env, name: &str, inputs: &[Handle], given: &[(&str, Attr)]) -> Handle {
    call(env, name, inputs, given).unwrap_or_else(|error| panic!("{error}"))[0]
}

pub fn f32s(env: &mut Env, shape: &[usize], values: &[f32]) -> Handle {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    env.write(0, DType::F32, shape, &bytes).unwrap()
}

pub fn i32s(env: &mut Env, shape: &[usize], values: &[i32]) -> Handle {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    env.write(0, DType::I32, shape, &bytes).unwrap()
}

pub fn bytes(env: &Env, handle: Handle) -> Vec<u8> {
    env.read(handle, None).unwrap().wait().unwrap_or_else(|error| panic!("{error}"))
}

/// Values of any dtype.
pub fn numbers(env: &Env, handle: Handle) -> Vec<f64> {
    let dtype = env.get(handle).unwrap().dtype;
    let read = |chunk: &[u8]| match dtype {
        DType::F64 => f64::from_le_bytes(chunk.try_into().unwrap()),
        DType::F32 => f64::from(f32::from_le_bytes(chunk.try_into().unwrap())),
        DType::BF16 => f64::from(elm_core::bf16::from_le_bytes(chunk.try_into().unwrap())),
        DType::F16 => f64::from(elm_core::f16::from_le_bytes(chunk.try_into().unwrap())),
        DType::I32 => f64::from(i32::from_le_bytes(chunk.try_into().unwrap())),
        DType::Bool => f64::from(chunk[0]),
        other => panic!("no test reads {other}"),
    };
    bytes(env, handle).chunks_exact(dtype.size()).map(read).collect()
}
