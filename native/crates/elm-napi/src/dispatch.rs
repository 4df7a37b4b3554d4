//! The one crossing that every op takes.

use elm_core::{ErrorCode, OpError};
use elm_engine::Call;

use crate::core::Core;
use crate::js::{Js, NOTHING, Value};
use crate::wire;

/// `dispatch(op)`: the call lies in the arena, and so does the result afterwards.
pub fn dispatch(js: Js, core: &mut Core, args: &[Value]) -> Result<Value, OpError> {
    let op = js.get_f64(args[0])? as usize;
    // The arena is borrowed apart from the rest of the core.
    let Core { env, arena, tracker, .. } = core;
    run(js, env, tracker, op, arena.words())?;
    Ok(NOTHING)
}

/// `dispatchLarge(op, words)`: the same in a Float64Array of the caller's, for calls that outgrow the arena.
pub fn dispatch_large(js: Js, core: &mut Core, args: &[Value]) -> Result<Value, OpError> {
    let op = js.get_f64(args[0])? as usize;
    let (data, bytes) = js.get_bytes(args[1])?;
    if !bytes.is_multiple_of(8) || !(data as usize).is_multiple_of(8) {
        return Err(OpError::new(ErrorCode::InvalidArgument, "dispatch", "expected a Float64Array"));
    }
    // SAFETY: a live typed array of this size, which JavaScript cannot touch during the call.
    let words = unsafe { std::slice::from_raw_parts_mut(data.cast::<f64>(), bytes / 8) };
    run(js, &mut core.env, &mut core.tracker, op, words)?;
    Ok(NOTHING)
}

fn run(
    js: Js,
    env: &mut elm_engine::Env,
    tracker: &mut crate::tracker::Tracker,
    index: usize,
    words: &mut [f64],
) -> Result<(), OpError> {
    let Some(&op) = elm_ops::OPS.get(index) else {
        return Err(OpError::new(ErrorCode::UnknownOp, "dispatch", format!("there is no op {index}")));
    };
    let mut outputs = attempt(env, op, index, words);
    if outputs.as_ref().is_err_and(|error| error.code == ErrorCode::OutOfMemory) {
        // Dropped tensors that nobody has collected yet may be all that is in the way.
        tracker.collect(js, env);
        outputs = attempt(env, op, index, words);
    }
    wire::encode(env, outputs?, words)
}

fn attempt(
    env: &mut elm_engine::Env,
    op: &'static elm_core::OpDef,
    index: usize,
    words: &[f64],
) -> Result<elm_engine::Outputs, OpError> {
    let call = wire::decode(op, words)?;
    env.dispatch(Call {
        op: index,
        inputs: &call.inputs,
        attrs: call.attrs,
        device: call.device,
        wanted: call.wanted,
    })
}
