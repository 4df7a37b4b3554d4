//! The functions of a core, by name.

use elm_core::{DType, ErrorCode, OpError};
use elm_engine::{Device, Handle, Read, device};

use crate::core::{Core, Method};
use crate::dispatch::{dispatch, dispatch_large};
use crate::js::{Js, NOTHING, Value};
use crate::wire;

type Result = std::result::Result<Value, OpError>;

pub const METHODS: &[(&str, Method)] = &[
    ("dispatch", dispatch),
    ("dispatchLarge", dispatch_large),
    ("track", track),
    ("retain", retain),
    ("release", release),
    ("releaseTracked", release_tracked),
    ("releaseMany", release_many),
    ("collect", collect),
    ("liveTensors", live_tensors),
    ("write", write),
    ("readStart", read_start),
    ("readTake", read_take),
    ("readSync", read_sync),
    ("fence", fence),
    ("synchronizeSync", synchronize_sync),
    ("devices", devices),
    ("findDevice", find_device),
    ("cuda", cuda),
    ("deviceStats", device_stats),
    ("rangeBegin", range_begin),
    ("rangeEnd", range_end),
    ("trim", trim),
    ("setThreads", set_threads),
    ("tuneBegin", tune_begin),
    ("tunedSoFar", tuned_so_far),
    ("tuneEnd", tune_end),
    ("tuningTable", tuning_table),
    ("isContiguous", is_contiguous),
    ("share", share),
    ("adopt", adopt),
    ("openSafetensors", open_safetensors),
    ("closeSafetensors", close_safetensors),
    ("mapTensor", map_tensor),
    ("isMapped", is_mapped),
];

fn handle(js: Js, value: Value) -> std::result::Result<Handle, OpError> {
    Ok(js.get_f64(value)? as Handle)
}

fn dtype(js: Js, value: Value) -> std::result::Result<DType, OpError> {
    let index = js.get_index(value)?;
    DType::from_index(index).ok_or_else(|| {
        OpError::new(ErrorCode::InvalidArgument, "native", format!("there is no dtype {index}"))
    })
}

fn device_of(js: Js, value: Value) -> std::result::Result<&'static Device, OpError> {
    let id = js.get_index(value)?;
    device(id as u32).map(|device| &**device).ok_or_else(|| {
        OpError::new(ErrorCode::DeviceUnavailable, "device", format!("there is no device {id}"))
    })
}

/// `track(objects, count)`: frees each tensor once its object has been collected; the ids lie in the arena.
fn track(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let count = js.get_index(args[1])?;
    for (index, &id) in core.arena.words().iter().take(count).enumerate() {
        let object = js.element(args[0], index as u32)?;
        core.tracker.track(js, &core.env, object, id as Handle)?;
    }
    core.tracker.tidy(js, &mut core.env);
    Ok(NOTHING)
}

/// `retain(id, pin)`: one more owner.
fn retain(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.env.retain(handle(js, args[0])?, js.get_bool(args[1])?)?;
    Ok(NOTHING)
}

/// `release(id, pinned)`: one owner less.
fn release(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.env.release(handle(js, args[0])?, js.get_bool(args[1])?);
    Ok(NOTHING)
}

/// `releaseTracked(id)`: the same by an object that `track` observes.
fn release_tracked(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.tracker.release(&mut core.env, handle(js, args[0])?);
    Ok(NOTHING)
}

/// `releaseMany(ids: Float64Array, count, pinned)`.
fn release_many(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let (data, bytes) = js.get_bytes(args[0])?;
    let count = js.get_index(args[1])?.min(bytes / 8);
    let pinned = js.get_bool(args[2])?;
    for i in 0..count {
        // SAFETY: inside the live typed array; read unaligned, whatever its offset.
        let id = unsafe { data.cast::<f64>().add(i).read_unaligned() };
        core.env.release(id as Handle, pinned);
    }
    Ok(NOTHING)
}

/// `collect()`: has V8 collect, then frees what was dropped outside scopes.
fn collect(js: Js, core: &mut Core, _: &[Value]) -> Result {
    core.tracker.collect(js, &mut core.env);
    Ok(NOTHING)
}

fn live_tensors(js: Js, core: &mut Core, _: &[Value]) -> Result {
    Ok(js.number(core.env.live() as f64))
}

/// `write(device, dtype, shape, bytes)`: a new tensor of host bytes; its id.
fn write(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let (device, dtype, shape) = (js.get_index(args[0])? as u32, dtype(js, args[1])?, js.get_shape(args[2])?);
    let (data, len) = js.get_bytes(args[3])?;
    // SAFETY: a live typed array that JavaScript cannot touch during the call; null only when empty.
    let bytes = if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, len) } };
    let id = core.env.write(device, dtype, &shape, bytes)?;
    Ok(js.number(id as f64))
}

/// `readStart(id)`: starts a copy to the host; its number, negative when it has already ended.
fn read_start(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let (token, notify) = core.reads.begin();
    let read = core.env.read(handle(js, args[0])?, Some(notify))?;
    Ok(begin(js, core, token, read))
}

fn begin(js: Js, core: &mut Core, token: u32, read: std::sync::Arc<Read>) -> Value {
    let ended = read.has_ended();
    core.reads.wait_for(js, token, read);
    js.number(if ended { -f64::from(token) } else { f64::from(token) })
}

/// `readTake(token, into)`: the bytes of a read that has ended; throws what made the tensor fail.
fn read_take(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let token = js.get_index(args[0])? as u32;
    let read = core.reads.take(js, token);
    let result = read.and_then(|read| read.take());
    let result = result.ok_or_else(|| OpError::new(ErrorCode::Internal, "read", "there is no such read"))?;
    copy_out(js, &result.map_err(|error| (*error).clone())?, args[1])
}

fn copy_out(js: Js, bytes: &[u8], target: Value) -> Result {
    if bytes.is_empty() {
        return Ok(NOTHING);
    }
    let (data, len) = js.get_bytes(target)?;
    if len != bytes.len() {
        let message = format!("the target has {len} bytes, the tensor {}", bytes.len());
        return Err(OpError::new(ErrorCode::Internal, "read", message));
    }
    // SAFETY: a live typed array of this size; the bytes are the engine's own.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, len) };
    Ok(NOTHING)
}

/// `readSync(id, into)`: blocks until the bytes are there.
fn read_sync(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let read = core.env.read(handle(js, args[0])?, None)?;
    copy_out(js, &read.wait().map_err(|error| (*error).clone())?, args[1])
}

const WAITING: &str =
    "nothing runs while it is recorded, so there is nothing to wait for; synchronize outside";

/// `fence(device, reports)`: a read without bytes that ends when all before it has; one that reports fails with the
/// device's first error since the last such fence.
fn fence(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.env.refuse_in_capture(WAITING)?;
    let (token, notify) = core.reads.begin();
    let read = device_of(js, args[0])?.fence(js.get_bool(args[1])?, Some(notify));
    Ok(begin(js, core, token, read))
}

fn synchronize_sync(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.env.refuse_in_capture(WAITING)?;
    let read = device_of(js, args[0])?.fence(true, None);
    read.wait().map_err(|error| (*error).clone())?;
    Ok(NOTHING)
}

/// `devices()`: names, in the order of their ids, as JSON.
fn devices(js: Js, _: &mut Core, _: &[Value]) -> Result {
    Ok(js.string(&serde_json::json!(elm_engine::device_names()).to_string()))
}

/// `findDevice(name)`: its id; throws what keeps it from being there.
fn find_device(js: Js, _: &mut Core, args: &[Value]) -> Result {
    Ok(js.number(f64::from(elm_engine::find_device(&js.get_string(args[0])?)?)))
}

/// `cuda()`: what was found of CUDA, as JSON.
fn cuda(js: Js, _: &mut Core, _: &[Value]) -> Result {
    let probe = elm_engine::cuda_probe();
    let report = serde_json::json!({
        "devices": probe.devices,
        "driver": probe.driver.map(|version| format!("{}.{}", version / 1000, version % 1000 / 10)),
        "missing": probe.missing,
    });
    Ok(js.string(&report.to_string()))
}

/// `deviceStats(device)`: into the arena: current, peak, cached, limit, pending, stalls, threads.
fn device_stats(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let device = device_of(js, args[0])?;
    let memory = device.memory();
    let stats = [
        memory.current as f64,
        memory.peak as f64,
        memory.cached as f64,
        memory.limit as f64,
        device.pending() as f64,
        device.stalls() as f64,
        device.threads() as f64,
    ];
    core.arena.words()[..stats.len()].copy_from_slice(&stats);
    Ok(NOTHING)
}

/// `rangeBegin(name)`: a range that profilers show, on all devices. In a recording nothing runs that could lie in it.
fn range_begin(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let name = js.get_string(args[0])?;
    if core.env.refuse_in_capture("").is_ok() {
        elm_engine::devices().for_each(|device| device.range(Some(&name)));
    }
    Ok(NOTHING)
}

fn range_end(_: Js, core: &mut Core, _: &[Value]) -> Result {
    if core.env.refuse_in_capture("").is_ok() {
        elm_engine::devices().for_each(|device| device.range(None));
    }
    Ok(NOTHING)
}

fn trim(js: Js, _: &mut Core, args: &[Value]) -> Result {
    device_of(js, args[0])?.trim();
    Ok(NOTHING)
}

fn set_threads(js: Js, _: &mut Core, args: &[Value]) -> Result {
    device_of(js, args[0])?.set_threads(js.get_index(args[1])?);
    Ok(NOTHING)
}

/// `tuneBegin(device, again)`: products are measured from here on.
fn tune_begin(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.env.begin_tuning(device_of(js, args[0])?, js.get_bool(args[1])?)?;
    Ok(NOTHING)
}

/// `tunedSoFar(device)`: how many products were met.
fn tuned_so_far(js: Js, _: &mut Core, args: &[Value]) -> Result {
    Ok(js.number(device_of(js, args[0])?.tuned_so_far()? as f64))
}

/// `tuneEnd(device)`: stores what was measured; the report as JSON.
fn tune_end(js: Js, _: &mut Core, args: &[Value]) -> Result {
    json(js, &device_of(js, args[0])?.end_tuning()?)
}

/// `tuningTable(device)`: the table by which products are computed, as JSON; `null` where there is none.
fn tuning_table(js: Js, _: &mut Core, args: &[Value]) -> Result {
    json(js, &device_of(js, args[0])?.tuning_table()?)
}

fn json(js: Js, value: &impl serde::Serialize) -> Result {
    let text = serde_json::to_string(value);
    Ok(js.string(&text.map_err(|error| OpError::new(ErrorCode::Internal, "native", error.to_string()))?))
}

fn is_contiguous(js: Js, core: &mut Core, args: &[Value]) -> Result {
    Ok(js.boolean(core.env.get(handle(js, args[0])?)?.layout.is_contiguous()))
}

/// `share(id)`: a number by which another environment can fetch the tensor, once.
fn share(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.env.refuse_in_capture(
        "a tensor is given away after its values are there; return it and share it outside",
    )?;
    Ok(js.number(elm_engine::share(&core.env, handle(js, args[0])?)? as f64))
}

/// `adopt(token)`: the tensor lies in the arena like the output of a call.
fn adopt(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let id = elm_engine::adopt(&mut core.env, js.get_index(args[0])? as u64)?;
    wire::encode(&core.env, [Some(id)], core.arena.words())?;
    Ok(NOTHING)
}

fn open_safetensors(js: Js, core: &mut Core, args: &[Value]) -> Result {
    Ok(js.string(&core.files.open(&js.get_string(args[0])?)?))
}

fn close_safetensors(js: Js, core: &mut Core, args: &[Value]) -> Result {
    core.files.close(js.get_index(args[0])? as u32);
    Ok(NOTHING)
}

/// `isMapped(path)`: whether a mapping of the file still lives anywhere in the process.
fn is_mapped(js: Js, _: &mut Core, args: &[Value]) -> Result {
    Ok(js.boolean(crate::files::is_mapped(&js.get_string(args[0])?)))
}

/// `mapTensor(file, device, start, dtype, shape)`: a tensor over the mapped bytes; its id.
fn map_tensor(js: Js, core: &mut Core, args: &[Value]) -> Result {
    let map = core.files.get(js.get_index(args[0])? as u32)?;
    let (device, start) = (js.get_index(args[1])? as u32, js.get_index(args[2])?);
    let id = core.env.map(device, map, start, dtype(js, args[3])?, &js.get_shape(args[4])?)?;
    Ok(js.number(id as f64))
}
