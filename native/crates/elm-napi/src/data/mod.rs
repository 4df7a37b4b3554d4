//! Readers, shards and loaders for JavaScript.

mod corenet;
mod documents;
mod prepare;
mod python_random;
mod shards;

use elm_text::Error;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structures are JSON")
}

fn state_from<T: DeserializeOwned>(json: Option<String>) -> elm_text::Result<Option<T>> {
    let parse = |json: String| {
        serde_json::from_str(&json).map_err(|error| Error::config(format!("not a loader's state: {error}")))
    };
    json.map(parse).transpose()
}

/// A batch of either loader; `state` is JSON.
#[napi(object)]
pub struct NativeBatch {
    pub inputs: Int32Array,
    pub targets: Int32Array,
    pub documents: Option<Int32Array>,
    pub tokens: f64,
    pub state: String,
}
