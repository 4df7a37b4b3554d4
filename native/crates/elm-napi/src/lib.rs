//! What JavaScript sees of the engine: types are converted here, nothing is computed.
//!
//! `createCore` makes one [`core::Core`] an environment: a handle table, the arena, pending reads. Its functions are
//! raw Node-API functions, because a call through the derive macro costs five times as much as the call itself.
// The derive macro registers functions in constructors that it leaves out of test builds.
#![cfg_attr(test, allow(dead_code))]

mod capture;
mod core;
mod data;
mod dispatch;
mod files;
mod js;
mod methods;
mod reads;
mod text;
mod tracker;
mod wire;

use napi::bindgen_prelude::Object;

/// Runs once an environment, when the addon is loaded there.
#[napi_derive::napi(module_exports)]
pub fn exports(mut exports: Object, env: napi::Env) -> napi::Result<()> {
    exports.set("tableHash", elm_ops::table::hash())?;
    exports.set("version", env!("CARGO_PKG_VERSION"))?;
    exports.set("simd", elm_engine::simd_level().map_err(napi::Error::from_reason)?.name())?;
    // SAFETY: the environment and the exports object are alive during module registration.
    unsafe { core::export(env.raw(), napi::bindgen_prelude::JsValue::raw(&exports)) };
    Ok(())
}
