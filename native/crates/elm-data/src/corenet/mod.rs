//! CoreNet's `general_lm` data set, batch for batch: no packing, no document mask, pieces padded to one length.

mod loader;
mod piece;
mod worker;

pub use loader::{CorenetBatch, CorenetLoader, CorenetOptions, CorenetState};
pub use worker::{WorkerPosition, worker_files};
