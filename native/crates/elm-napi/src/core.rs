//! One environment's state, and how its functions are bound to JavaScript.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use elm_core::{ErrorCode, OpError};
use elm_engine::Env;
use napi::sys;

use crate::capture::{self, Recordings};
use crate::files::Files;
use crate::js::{Js, Value};
use crate::methods::METHODS;
use crate::reads::Reads;
use crate::tracker::Tracker;

/// All that one JavaScript environment owns of the engine. Only that environment's thread touches it.
pub struct Core {
    pub env: Env,
    pub arena: Arena,
    pub reads: Reads,
    pub tracker: Tracker,
    pub files: Files,
    pub recordings: Recordings,
    /// Makes a JavaScript error of code, op, message and inputs.
    error_factory: sys::napi_ref,
    #[expect(clippy::vec_box, reason = "functions in JavaScript hold the addresses")]
    bound: Vec<Box<Bound>>,
}

/// Memory that JavaScript and the core both see: calls go in, results come out.
pub struct Arena {
    words: *mut f64,
    len: usize,
}

impl Arena {
    /// The arena as numbers. JavaScript does not run while a native call holds them.
    pub fn words(&mut self) -> &mut [f64] {
        // SAFETY: the buffer is kept alive by a strong reference of the core and has this length; `&mut self` keeps
        // other slices of it away.
        unsafe { std::slice::from_raw_parts_mut(self.words, self.len) }
    }
}

/// A function of the core: arguments in, a value or an error out.
pub type Method = fn(Js, &mut Core, &[Value]) -> Result<Value, OpError>;

struct Bound {
    core: *mut Core,
    method: Method,
}

/// Puts `createCore(arena, makeError, onRead)` on the exports.
///
/// # Safety
/// `env` and `exports` are those of the module registration that is going on.
pub unsafe fn export(env: sys::napi_env, exports: Value) {
    let js = Js(env);
    js.set(exports, "createCore", js.function("createCore", Some(create_core), ptr::null_mut()));
}

const MOST_ARGUMENTS: usize = 6;

/// The arguments of the call `info`; missing ones are `undefined`.
fn arguments(js: Js, info: sys::napi_callback_info) -> ([Value; MOST_ARGUMENTS], *mut c_void) {
    let (mut values, mut count) = ([ptr::null_mut(); MOST_ARGUMENTS], MOST_ARGUMENTS);
    let mut data = ptr::null_mut();
    // SAFETY: Node-API fills as many values as the array holds.
    unsafe {
        sys::napi_get_cb_info(js.0, info, &raw mut count, values.as_mut_ptr(), ptr::null_mut(), &raw mut data)
    };
    (values, data)
}

unsafe extern "C" fn create_core(env: sys::napi_env, info: sys::napi_callback_info) -> Value {
    let js = Js(env);
    let ([buffer, make_error, on_read, ..], _) = arguments(js, info);
    let made = catch_unwind(AssertUnwindSafe(|| build(js, buffer, make_error, on_read)));
    match made {
        Ok(Ok(object)) => object,
        Ok(Err(error)) => throw_plain(js, &error.to_string()),
        Err(_) => throw_plain(js, "createCore panicked"),
    }
}

fn build(js: Js, buffer: Value, make_error: Value, on_read: Value) -> Result<Value, OpError> {
    let (data, bytes) = js.array_buffer(buffer)?;
    js.reference(buffer, 1)?;
    let core = Box::new(Core {
        env: Env::default(),
        arena: Arena { words: data.cast(), len: bytes / size_of::<f64>() },
        reads: Reads::new(js, on_read)?,
        tracker: Tracker::default(),
        files: Files::default(),
        recordings: Recordings::default(),
        error_factory: js.reference(make_error, 1)?,
        bound: Vec::new(),
    });
    let core = Box::into_raw(core);
    let object = js.object();
    for (name, method) in METHODS.iter().chain(capture::METHODS) {
        let mut bound = Box::new(Bound { core, method: *method });
        let data: *mut Bound = &raw mut *bound;
        js.set(object, name, js.function(name, Some(call_method), data.cast()));
        // SAFETY: nobody else knows the core yet.
        unsafe { (*core).bound.push(bound) };
    }
    // SAFETY: the hook gets the pointer back exactly once, when the environment ends.
    unsafe { sys::napi_add_env_cleanup_hook(js.0, Some(drop_core), core.cast()) };
    Ok(object)
}

/// The environment ends: everything it owned goes.
unsafe extern "C" fn drop_core(core: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `build`; JavaScript of this environment runs no more.
    let mut core = unsafe { Box::from_raw(core.cast::<Core>()) };
    core.reads.close();
}

unsafe extern "C" fn call_method(env: sys::napi_env, info: sys::napi_callback_info) -> Value {
    let js = Js(env);
    let (args, data) = arguments(js, info);
    // SAFETY: `data` is the `Bound` that the core keeps, and functions are called only while their core lives.
    let bound = unsafe { &*data.cast::<Bound>() };
    // SAFETY: one thread, and no JavaScript runs inside a method: this is the only borrow.
    let core = unsafe { &mut *bound.core };
    match catch_unwind(AssertUnwindSafe(|| (bound.method)(js, core, &args))) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => throw(js, bound.core, &error),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            throw(js, bound.core, &OpError::new(ErrorCode::Internal, "native", format!("panicked: {text}")))
        }
    }
}

/// Throws what the error factory makes of `error`.
fn throw(js: Js, core: *mut Core, error: &OpError) -> Value {
    // SAFETY: the method has returned, so nothing else borrows the core.
    let factory = unsafe { (*core).error_factory };
    let inputs: Vec<serde_json::Value> = error
        .inputs
        .iter()
        .map(|(name, spec)| serde_json::json!({ "name": name, "dtype": spec.dtype.name(), "shape": spec.shape.as_slice() }))
        .collect();
    let args = [
        js.string(error.code.as_str()),
        js.string(error.op),
        js.string(&error.message),
        js.string(&serde_json::Value::from(inputs).to_string()),
    ];
    let made = js.deref(factory).and_then(|factory| js.call(factory, &args));
    if let Some(made) = made {
        // SAFETY: a live environment and value.
        unsafe { sys::napi_throw(js.0, made) };
    }
    js.undefined()
}

fn throw_plain(js: Js, text: &str) -> Value {
    let text = std::ffi::CString::new(text).unwrap_or_default();
    // SAFETY: a live environment and a terminated string.
    unsafe { sys::napi_throw_error(js.0, ptr::null(), text.as_ptr()) };
    js.undefined()
}
