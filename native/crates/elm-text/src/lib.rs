//! Text to ids and back: `tokenizer.json`, SentencePiece models, byte-level BPE training.
//!
//! Knows nothing of tensors. Files come from anywhere: every reader is bounded by the file's own size and
//! answers with a typed error, never with a panic.

#![forbid(unsafe_code)]

mod bpe_trainer;
mod error;
mod growth;
mod hugging_face;
mod pool;
mod prefix_index;
mod protobuf;
mod sentencepiece;
mod stream;
mod tokenizer;

pub use bpe_trainer::{BpeTrainer, TrainOptions};
pub use error::{Error, ErrorKind, Result, guard};
pub use pool::{pool, threads};
pub use stream::TokenStream;
pub use tokenizer::{EncodeOptions, SpecialToken, Tokenizer, TokenizerKind};
