//! Recording and replay, by numbers that stand for recordings.

use std::collections::HashMap;
use std::sync::Arc;

use elm_core::{ErrorCode, OpError};
use elm_engine::{Handle, Recording};

use crate::core::{Core, Method};
use crate::js::{Js, NOTHING, Value};
use crate::wire;

type Result<T = Value> = std::result::Result<T, OpError>;

/// The recordings of one environment.
#[derive(Default)]
pub struct Recordings {
    by_number: HashMap<u32, Arc<Recording>>,
    last: u32,
}

pub const METHODS: &[(&str, Method)] = &[
    ("captureBegin", begin),
    ("captureInput", input),
    ("captureOutputs", outputs),
    ("captureEnd", end),
    ("captureAbort", abort),
    ("captureRelease", release),
    ("replay", replay),
];

/// `captureBegin(device)`: calls are recorded from here on.
fn begin(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.env.begin_capture(js.get_index(args[0])? as u32)?;
    Ok(NOTHING)
}

/// `captureInput(id)`: what stands for that argument lies in the arena like the output of a call.
fn input(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let id = core.env.capture_input(js.get_f64(args[0])? as Handle)?;
    wire::encode(&core.env, [Some(id)], core.arena.words())?;
    Ok(NOTHING)
}

/// `captureOutputs(ids)`: what a replay gives.
fn outputs(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.env.capture_outputs(&handles(js, args[0])?)?;
    Ok(NOTHING)
}

/// `captureEnd()`: the number of the recording.
fn end(js: Js, core: &mut Core, _: &[Value]) -> Result {
    let recording = Arc::new(core.env.end_capture()?);
    let recordings = &mut core.recordings;
    recordings.last += 1;
    recordings.by_number.insert(recordings.last, recording);
    Ok(js.number(f64::from(recordings.last)))
}

fn abort(_: Js, core: &mut Core, _: &[Value]) -> Result {
    core.env.abort_capture();
    Ok(NOTHING)
}

fn release(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.recordings.by_number.remove(&(js.get_index(args[0])? as u32));
    Ok(NOTHING)
}

/// `replay(recording, ids)`: the results lie in the arena; false if the recording must be made again.
fn replay(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let number = js.get_index(args[0])? as u32;
    let recording = core.recordings.by_number.get(&number);
    let recording =
        recording.ok_or_else(|| OpError::new(ErrorCode::Capture, "replay", "this recording is gone"))?;
    let Some(results) = core.env.replay(recording, &handles(js, args[1])?)? else {
        return Ok(js.boolean(false));
    };
    wire::encode(&core.env, results.into_iter().map(Some), core.arena.words())?;
    Ok(js.boolean(true))
}

/// The ids in a Float64Array.
fn handles(js: Js, value: Value) -> Result<Vec<Handle>> {
    let (data, bytes) = js.get_bytes(value)?;
    // SAFETY: inside the live typed array; read unaligned, whatever its offset.
    let id = |i: usize| unsafe { data.cast::<f64>().add(i).read_unaligned() };
    Ok((0..bytes / size_of::<f64>()).map(|i| id(i) as Handle).collect())
}
