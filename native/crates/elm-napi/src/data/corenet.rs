use std::sync::Arc;

use elm_data::{CorenetBatch, CorenetLoader, CorenetOptions, Prefetch};
use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::{NativeBatch, state_from, to_json};
use crate::text::{Job, NativeTokenizer};

#[napi(object)]
pub struct NativeCorenetFile {
    pub path: String,
    pub text_key: String,
}

#[napi(object)]
pub struct NativeCorenetOptions {
    pub files: Vec<NativeCorenetFile>,
    pub sequence_length: u32,
    pub batch_size: u32,
    pub min_tokens: u32,
    pub min_characters: u32,
    pub document_words: u32,
    pub shuffle: bool,
    pub seed: f64,
    pub rank: u32,
    pub world: u32,
    pub workers: u32,
    pub prefix: Option<u32>,
    pub suffix: Option<u32>,
    pub pad_id: i32,
    pub nfc: bool,
}

#[napi]
pub struct NativeCorenetLoader {
    batches: Arc<Prefetch<CorenetBatch>>,
    state: String,
}

#[napi]
impl NativeCorenetLoader {
    #[napi(catch_unwind)]
    pub fn open(
        tokenizer: &NativeTokenizer,
        options: NativeCorenetOptions,
        state: Option<String>,
        ahead: u32,
    ) -> AsyncTask<Job<(Prefetch<CorenetBatch>, String), NativeCorenetLoader>> {
        let tokenizer = tokenizer.tokenizer.clone();
        let files = options.files.into_iter().map(|file| (file.path.into(), file.text_key)).collect();
        let options = CorenetOptions {
            files,
            sequence_length: options.sequence_length as usize,
            batch_size: options.batch_size as usize,
            min_tokens: options.min_tokens as usize,
            min_characters: options.min_characters as usize,
            document_words: options.document_words as usize,
            shuffle: options.shuffle,
            seed: options.seed as u64,
            rank: options.rank as usize,
            world: options.world as usize,
            workers: options.workers as usize,
            prefix: options.prefix,
            suffix: options.suffix,
            pad_id: options.pad_id,
            nfc: options.nfc,
        };
        Job::task(
            |(batches, state)| NativeCorenetLoader { batches: Arc::new(batches), state },
            move || {
                let loader = CorenetLoader::new(tokenizer, options, state_from(state)?)?;
                let state = to_json(loader.state());
                Ok((Prefetch::start(loader, ahead as usize)?, state))
            },
        )
    }

    #[napi(getter, catch_unwind)]
    pub fn state(&self) -> String {
        self.state.clone()
    }

    #[napi(catch_unwind)]
    pub fn next(&self) -> AsyncTask<Job<Option<CorenetBatch>, Option<NativeBatch>>> {
        let batches = self.batches.clone();
        Job::task(corenet_batch, move || batches.next())
    }
}

fn corenet_batch(batch: Option<CorenetBatch>) -> Option<NativeBatch> {
    batch.map(|batch| NativeBatch {
        inputs: batch.inputs.into(),
        targets: batch.targets.into(),
        documents: None,
        tokens: batch.tokens as f64,
        state: to_json(&batch.state),
    })
}
