//! The usual way to bind Rust to Node: a class of the derive macro around a vector.
use napi::bindgen_prelude::*;
use napi_derive::napi;

#[napi]
pub struct Floats {
    values: Vec<f32>,
}

#[napi]
impl Floats {
    #[napi(constructor)]
    pub fn new(values: Float32Array) -> Self {
        Self { values: values.to_vec() }
    }

    #[napi]
    pub fn add(&self, other: &Floats) -> Result<Floats> {
        if self.values.len() != other.values.len() {
            return Err(Error::from_reason("lengths differ"));
        }
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a + b).collect();
        Ok(Floats { values })
    }

    #[napi]
    pub fn first(&self) -> f64 {
        self.values.first().copied().map_or(f64::NAN, f64::from)
    }

    /// Gives the memory back now; what is left for the collector is an empty vector.
    #[napi]
    pub fn free(&mut self) {
        self.values = Vec::new();
    }
}

/// What a call costs that does nothing.
#[napi]
pub fn noop() {}
