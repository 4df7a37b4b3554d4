//! A tokenized corpus on disk.
//!
//! A folder holds, for each split, shards `train-00000.bin` (token ids, little-endian u16 or u32, documents back to
//! back) with `train-00000.idx` (u64 little-endian: where each document starts, then the number of tokens), the
//! tokenizer, and `manifest.json`, which is written last: a folder without it is not finished.

mod manifest;
mod pipeline;
mod prepare;
mod segment;
mod set;
mod unfinished;

pub use manifest::{Manifest, ShardInfo, Split, SplitInfo, verify};
pub use prepare::{PrepareOptions, prepare};
pub use set::ShardSet;
