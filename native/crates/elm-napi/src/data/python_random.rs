use elm_data::PythonRandom;
use napi::bindgen_prelude::*;
use napi_derive::napi;

/// Python's generator. Arguments are checked in TypeScript.
#[napi]
pub struct NativePythonRandom {
    random: PythonRandom,
}

#[napi]
impl NativePythonRandom {
    #[napi(constructor, catch_unwind)]
    pub fn new(seed: f64) -> NativePythonRandom {
        NativePythonRandom { random: PythonRandom::new(seed as u64) }
    }

    #[napi(catch_unwind)]
    pub fn random(&mut self) -> f64 {
        self.random.random()
    }

    #[napi(catch_unwind)]
    pub fn bits(&mut self, bits: u32) -> f64 {
        self.random.bits(bits) as f64
    }

    #[napi(catch_unwind)]
    pub fn below(&mut self, n: f64) -> f64 {
        self.random.below(n as u64) as f64
    }

    /// Which position comes to each place of a shuffled list of `n`.
    #[napi(catch_unwind)]
    pub fn permutation(&mut self, n: u32) -> Uint32Array {
        let mut order: Vec<u32> = (0..n).collect();
        self.random.shuffle(&mut order);
        order.into()
    }

    #[napi(catch_unwind)]
    pub fn choices(&mut self, n: u32, count: u32) -> Uint32Array {
        let picked = self.random.choices(n as usize, count as usize).into_iter();
        picked.map(|i| i as u32).collect::<Vec<_>>().into()
    }

    #[napi(catch_unwind)]
    pub fn sample(&mut self, n: u32, count: u32) -> Uint32Array {
        let picked = self.random.sample(n as usize, count as usize).into_iter();
        picked.map(|i| i as u32).collect::<Vec<_>>().into()
    }
}
