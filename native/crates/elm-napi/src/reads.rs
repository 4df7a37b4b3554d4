//! Values on their way to JavaScript: who waits, and how the event loop hears of it.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use elm_core::{ErrorCode, OpError};
use elm_engine::Read;
use napi::sys;

use crate::js::{Js, Value};

/// A thread-safe function, and whether its environment still takes calls.
struct Notifier {
    function: Mutex<Option<sys::napi_threadsafe_function>>,
}

// SAFETY: Node-API allows calls of a thread-safe function from any thread; the lock keeps them before its release.
unsafe impl Send for Notifier {}
// SAFETY: as above.
unsafe impl Sync for Notifier {}

impl Notifier {
    fn notify(&self, token: u32) {
        let function = self.function.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = *function {
            let data = token as usize as *mut c_void;
            // SAFETY: not yet released; the token travels as an address that is never followed.
            unsafe {
                sys::napi_call_threadsafe_function(
                    function,
                    data,
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                )
            };
        }
    }
}

pub struct Reads {
    pending: HashMap<u32, Arc<Read>>,
    next: u32,
    notifier: Arc<Notifier>,
}

impl Reads {
    /// `on_read(token)` is called on the event loop when a read has ended.
    pub fn new(js: Js, on_read: Value) -> Result<Reads, OpError> {
        let mut function = ptr::null_mut();
        // SAFETY: live values; `call_js` has the signature that Node-API wants.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                js.0,
                on_read,
                ptr::null_mut(),
                js.string("openelm.read"),
                0,
                1,
                ptr::null_mut(),
                None,
                ptr::null_mut(),
                Some(call_js),
                &raw mut function,
            )
        };
        if status != sys::Status::napi_ok {
            return Err(OpError::new(ErrorCode::Internal, "native", "no thread-safe function could be made"));
        }
        // SAFETY: made above. Without pending reads it must not keep the process alive.
        unsafe { sys::napi_unref_threadsafe_function(js.0, function) };
        let notifier = Arc::new(Notifier { function: Mutex::new(Some(function)) });
        Ok(Reads { pending: HashMap::new(), next: 1, notifier })
    }

    /// A number for a read, and what its end will call.
    pub fn begin(&mut self) -> (u32, Box<dyn Fn() + Send + Sync>) {
        let token = self.next;
        self.next = self.next % 0x7FFF_FFFF + 1;
        let notifier = Arc::clone(&self.notifier);
        (token, Box::new(move || notifier.notify(token)))
    }

    /// Keeps the process alive until the read has been taken.
    pub fn wait_for(&mut self, js: Js, token: u32, read: Arc<Read>) {
        if self.pending.is_empty() {
            self.refer(|function| {
                // SAFETY: not yet released, on the environment's thread.
                unsafe { sys::napi_ref_threadsafe_function(js.0, function) };
            });
        }
        self.pending.insert(token, read);
    }

    /// The read of `token`, once it has ended.
    pub fn take(&mut self, js: Js, token: u32) -> Option<Arc<Read>> {
        let read = self.pending.remove(&token);
        if self.pending.is_empty() {
            self.refer(|function| {
                // SAFETY: as above.
                unsafe { sys::napi_unref_threadsafe_function(js.0, function) };
            });
        }
        read
    }

    fn refer(&self, change: impl FnOnce(sys::napi_threadsafe_function)) {
        if let Some(function) = *self.notifier.function.lock().unwrap_or_else(PoisonError::into_inner) {
            change(function);
        }
    }

    /// No more calls into the environment.
    pub fn close(&mut self) {
        let mut function = self.notifier.function.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = function.take() {
            // SAFETY: the only release, and no thread can call it any more.
            unsafe {
                sys::napi_release_threadsafe_function(function, sys::ThreadsafeFunctionReleaseMode::abort)
            };
        }
    }
}

unsafe extern "C" fn call_js(env: sys::napi_env, callback: Value, _context: *mut c_void, data: *mut c_void) {
    // A null environment means that it is going away.
    if !env.is_null() && !callback.is_null() {
        let js = Js(env);
        js.call(callback, &[js.number(data as usize as f64)]);
    }
}
