//! Corpora: readers, tokenized shards on disk, and the loaders that make batches of them.
//!
//! Knows nothing of tensors: a batch is plain integers. Long work reports progress and can be cancelled.

mod control;
mod corenet;
mod durable;
mod packed;
mod permutation;
mod prefetch;
mod python_random;
mod readers;
mod shards;

pub use control::{Control, Progress};
pub use corenet::{CorenetBatch, CorenetLoader, CorenetOptions, CorenetState, WorkerPosition, worker_files};
pub use durable::write_atomic;
pub use elm_text::{Error, ErrorKind, Result};
pub use packed::{PackedBatch, PackedLoader, PackedOptions, PackedState};
pub use permutation::Permutation;
pub use prefetch::{BatchSource, Prefetch};
pub use python_random::PythonRandom;
pub use readers::{DocumentReader, ReaderOptions, TextUnit};
pub use shards::{Manifest, PrepareOptions, ShardInfo, ShardSet, Split, SplitInfo, prepare, verify};
