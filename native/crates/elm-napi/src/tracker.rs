//! Tensors that no scope owns: they go when JavaScript has no more use for their objects.
//!
//! A FinalizationRegistry runs its callbacks only between turns of the event loop, so a synchronous loop would hold
//! all its dropped results. A weak reference can be looked at any time: when enough bytes are listed, a collection
//! is provoked and the list is swept.

use std::collections::HashMap;

use elm_engine::{Env, Handle};
use napi::sys;

use crate::js::{Js, Value};

const MIN_BYTES: usize = 32 << 20;
const MIN_COUNT: usize = 4096;
/// More than half of any heap limit: below that V8 only begins to mark, above it collects inside the call.
const PRESSURE: i64 = 1 << 42;

struct Entry {
    reference: sys::napi_ref,
    handle: Handle,
    bytes: usize,
}

#[derive(Default)]
pub struct Tracker {
    entries: Vec<Entry>,
    /// Tensors with other owners, and how many of their listed objects have given up their reference already.
    released: HashMap<Handle, u32>,
    bytes: usize,
    /// What was alive after the last sweep.
    live_bytes: usize,
    live_count: usize,
}

impl Tracker {
    /// Observes `object`, the only owner of one reference to `handle`.
    pub fn track(
        &mut self,
        js: Js,
        env: &Env,
        object: Value,
        handle: Handle,
    ) -> Result<(), elm_core::OpError> {
        let tensor = env.get(handle)?;
        let bytes = tensor.storage.as_ref().map_or(0, |storage| storage.bytes);
        self.entries.push(Entry { reference: js.reference(object, 0)?, handle, bytes });
        self.bytes += bytes;
        Ok(())
    }

    /// Frees what was dropped, if enough is listed.
    pub fn tidy(&mut self, js: Js, env: &mut Env) {
        if self.bytes > MIN_BYTES.max(self.live_bytes / 2 * 3) {
            self.collect(js, env);
        } else if self.entries.len() > MIN_COUNT.max(self.live_count / 2 * 3) {
            // Small tensors are no reason to make the collector work; most of the list is dead already.
            self.sweep(js, env);
        }
    }

    /// The object gives up its reference before it is collected. An object that is still listed must not do so again:
    /// other owners, such as a tape or an alias, would lose theirs.
    pub fn release(&mut self, env: &mut Env, handle: Handle) {
        if !env.release(handle, false) && env.is_live(handle) {
            *self.released.entry(handle).or_default() += 1;
        }
    }

    /// Has V8 collect, then frees what was dropped.
    pub fn collect(&mut self, js: Js, env: &mut Env) {
        let mut total = 0;
        // SAFETY: a live environment. V8 collects inside the first call, since the sum passes its hard limit.
        unsafe {
            sys::napi_adjust_external_memory(js.0, PRESSURE, &raw mut total);
            sys::napi_adjust_external_memory(js.0, -PRESSURE, &raw mut total);
        }
        self.sweep(js, env);
    }

    fn sweep(&mut self, js: Js, env: &mut Env) {
        self.entries.retain(|entry| {
            if with_scope(js, || js.deref(entry.reference).is_some()) && env.is_live(entry.handle) {
                return true;
            }
            js.delete_reference(entry.reference);
            match self.released.get_mut(&entry.handle) {
                Some(count) if *count > 0 => *count -= 1,
                _ => _ = env.release(entry.handle, false),
            }
            self.bytes -= entry.bytes;
            false
        });
        self.released.retain(|&handle, count| *count > 0 && env.is_live(handle));
        self.live_bytes = self.bytes;
        self.live_count = self.entries.len();
    }
}

/// Runs `body` with a handle scope of its own, so that looking at a reference does not keep its value alive.
fn with_scope<T>(js: Js, body: impl FnOnce() -> T) -> T {
    let mut scope = std::ptr::null_mut();
    // SAFETY: a live environment; the scope is closed below, and `body` lets no value out.
    unsafe { sys::napi_open_handle_scope(js.0, &raw mut scope) };
    let result = body();
    // SAFETY: the scope that was opened above.
    unsafe { sys::napi_close_handle_scope(js.0, scope) };
    result
}
