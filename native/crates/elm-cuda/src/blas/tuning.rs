//! Times in which products are measured when they are met for the first time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;

use elm_core::{DType, ErrorCode, KernelError};
use serde::Serialize;

use super::plan::Key;
use super::table::{Entry, TableFacts, is_on};
use super::{Blas, Product, State};
use crate::Gpu;
use crate::driver::{Result, sys};

/// What was met since tuning began.
pub struct Tuning {
    /// Whether what the table knows is measured again.
    again: bool,
    by_key: HashMap<Key, usize>,
    met: Vec<TunedProduct>,
}

/// A product that was met while tuning.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TunedProduct {
    /// What the table calls it.
    pub key: String,
    /// Rows, columns, length of the sums.
    pub size: [usize; 3],
    pub batches: usize,
    /// Of the factors, and of the result.
    #[serde(serialize_with = "name")]
    pub dtype: DType,
    #[serde(serialize_with = "name")]
    pub result: DType,
    pub accumulate: bool,
    /// How often it was met.
    pub calls: usize,
    /// Whether it was measured now; else the table knew it, or there was no memory to measure it.
    pub measured: bool,
    /// Ways that were tried, and microseconds of the heuristic's first and of the best; none where nothing is known.
    pub candidates: Option<usize>,
    pub first: Option<f64>,
    pub best: Option<f64>,
    #[serde(skip)]
    entry: Option<Entry>,
}

fn name<S: serde::Serializer>(dtype: &DType, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(dtype.name())
}

/// What tuning gave.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TuningReport {
    /// In the order in which they were met.
    pub products: Vec<TunedProduct>,
    /// As it is now.
    pub table: TableFacts,
}

impl TunedProduct {
    fn of(key: &Key, entry: Option<Entry>, measured: bool) -> TunedProduct {
        let [dtype, result] = key.dtypes;
        TunedProduct {
            key: key.to_string(),
            size: key.size,
            batches: key.batches,
            dtype,
            result,
            accumulate: key.accumulate,
            calls: 1,
            measured,
            candidates: entry.as_ref().map(|entry| entry.candidates),
            first: entry.as_ref().map(|entry| entry.first),
            best: entry.as_ref().map(|entry| entry.best),
            entry,
        }
    }
}

impl State {
    /// Measures a product that is new.
    pub(super) fn meet(&mut self, gpu: &Gpu, blas: &Blas, product: &Product, key: &Key) -> Result<()> {
        let Some(tuning) = &mut self.tuning else { return Ok(()) };
        if let Some(&index) = tuning.by_key.get(key) {
            tuning.met[index].calls += 1;
            return Ok(());
        }
        // What was measured is in the table only when tuning ends.
        let known = if tuning.again { None } else { self.table.get(&key.to_string()).cloned() };
        let plan = self.plan(blas, key)?;
        // One that the library does not take is as if it were not known.
        let known = known.filter(|entry| entry.algorithm == plan.algorithm);
        let measured = known.is_none();
        let entry = match known {
            Some(entry) => Some(entry),
            None => gpu.measure(blas, product, key, &plan.description)?,
        };
        if let (true, Some(entry)) = (measured, &entry) {
            plan.algorithm = entry.algorithm;
        }
        if let Some(tuning) = &mut self.tuning {
            let measured = measured && entry.is_some();
            tuning.by_key.insert(key.clone(), tuning.met.len());
            tuning.met.push(TunedProduct::of(key, entry, measured));
            blas.met.store(tuning.met.len(), Relaxed);
        }
        Ok(())
    }
}

/// Tuning begins and ends when nothing is queued.
impl Gpu {
    /// From here on products are measured when they are met; `again` means also those that the table knows.
    pub fn begin_tuning(&self, again: bool) -> Result<()> {
        let refuse =
            |message: &str| Err(KernelError { code: ErrorCode::InvalidArgument, message: message.into() });
        if !is_on() {
            return refuse("OPENELM_CUDA_TUNING=0 turns tables off, so there is none to fill");
        }
        let blas = self.blas()?;
        let mut state = blas.state();
        if state.tuning.is_some() {
            return refuse("products are being measured already");
        }
        blas.met.store(0, Relaxed);
        state.tuning = Some(Tuning { again, by_key: HashMap::new(), met: Vec::new() });
        Ok(())
    }

    /// Stores what was measured; from here on products are those of the table as it then is.
    pub fn end_tuning(&self) -> Result<TuningReport> {
        let mut state = self.blas()?.state();
        let Some(tuning) = state.tuning.take() else {
            let message = "nothing is being measured".into();
            return Err(KernelError { code: ErrorCode::InvalidArgument, message });
        };
        let measured: BTreeMap<String, Entry> = (tuning.met.iter().filter(|product| product.measured))
            .filter_map(|product| Some((product.key.clone(), product.entry.clone()?)))
            .collect();
        if !measured.is_empty() {
            // Also where it cannot be stored, products are those of the table.
            state.plans.clear();
            let stored = state.table.store(measured);
            stored.map_err(|message| KernelError { code: ErrorCode::File, message })?;
        }
        Ok(TuningReport { products: tuning.met, table: state.table.facts() })
    }

    /// How many products were met since tuning began; waits for nothing.
    pub fn tuned_so_far(&self) -> Result<usize> {
        Ok(self.blas()?.met.load(Relaxed))
    }

    pub fn is_tuning(&self) -> bool {
        self.blas.get().and_then(|blas| blas.as_ref().ok()).is_some_and(|blas| blas.state().tuning.is_some())
    }

    /// The table whose ways products take.
    pub fn tuning_table(&self) -> Result<TableFacts> {
        Ok(self.blas()?.state().table.facts())
    }

    /// Products that were planned by the table since it was read, and those whose entry the library did not take.
    pub fn planned_by_table(&self) -> Result<[usize; 2]> {
        Ok(self.blas()?.state().by_table)
    }

    /// Whether what is submitted is noted instead of run.
    pub(super) fn is_capturing(&self) -> bool {
        let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: a live stream; writes one value.
        let asked = unsafe { sys::cuStreamIsCapturing(self.stream, &raw mut status) };
        asked != sys::CUresult::CUDA_SUCCESS
            || status != sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE
    }
}
