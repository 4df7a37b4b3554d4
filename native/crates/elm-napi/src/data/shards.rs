use std::path::Path;
use std::sync::Arc;

use elm_data::{Manifest, PackedBatch, PackedLoader, PackedOptions, Prefetch, ShardSet, Split};
use elm_text::Error;
use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::{NativeBatch, state_from, to_json};
use crate::text::Job;

/// Reads the manifest of a prepared corpus, as JSON.
#[napi(catch_unwind)]
pub fn read_manifest(folder: String) -> AsyncTask<Job<Manifest, String>> {
    Job::task(|manifest| to_json(&manifest), move || Manifest::read(Path::new(&folder)))
}

fn split_from(name: &str) -> elm_text::Result<Split> {
    match name {
        "train" => Ok(Split::Train),
        "validation" => Ok(Split::Validation),
        _ => Err(Error::config(format!("split must be \"train\" or \"validation\", not {name:?}"))),
    }
}

/// One split of a prepared corpus.
#[napi]
pub struct NativeShards {
    shards: Arc<ShardSet>,
}

#[napi]
impl NativeShards {
    #[napi(catch_unwind)]
    pub fn open(folder: String, split: String) -> AsyncTask<Job<ShardSet, NativeShards>> {
        Job::task(
            |shards| NativeShards { shards: Arc::new(shards) },
            move || ShardSet::open(Path::new(&folder), split_from(&split)?),
        )
    }

    #[napi(getter, catch_unwind)]
    pub fn manifest(&self) -> String {
        to_json(self.shards.manifest())
    }

    #[napi(getter, catch_unwind)]
    pub fn id(&self) -> String {
        self.shards.id().to_owned()
    }

    /// The ids of one document.
    #[napi(catch_unwind)]
    pub fn document(&self, number: f64) -> AsyncTask<Job<Vec<i32>, Int32Array>> {
        let shards = self.shards.clone();
        Job::task(Into::into, move || {
            // The conversion saturates, so a negative number would read as 0.
            if !(0.0..shards.documents() as f64).contains(&number) {
                let text = format!("document {number} is not one of {}", shards.documents());
                return Err(Error::argument(text));
            }
            let document = shards.document(number as u64)?;
            shards.check(document.shard)?;
            let mut ids = Vec::new();
            shards.read(document, 0, document.length, &mut ids)?;
            Ok(ids)
        })
    }

    #[napi(catch_unwind)]
    pub fn packed(
        &self,
        options: NativePackedOptions,
        state: Option<String>,
        ahead: u32,
    ) -> AsyncTask<Job<(Prefetch<PackedBatch>, String), NativePackedLoader>> {
        let shards = self.shards.clone();
        let options = PackedOptions {
            sequence_length: options.sequence_length as usize,
            batch_size: options.batch_size as usize,
            seed: options.seed as u64,
            shuffle: options.shuffle,
            rank: options.rank.into(),
            world: options.world.into(),
            document_mask: options.document_mask,
            ignore_index: options.ignore_index,
            pad_id: options.pad_id,
            epochs: options.epochs.map(Into::into),
        };
        Job::task(
            |(batches, state)| NativePackedLoader { batches: Arc::new(batches), state },
            move || {
                let loader = PackedLoader::new(shards, options, state_from(state)?.as_ref())?;
                let state = to_json(&loader.state());
                Ok((Prefetch::start(loader, ahead as usize)?, state))
            },
        )
    }
}

#[napi]
pub struct NativePackedLoader {
    batches: Arc<Prefetch<PackedBatch>>,
    state: String,
}

#[napi]
impl NativePackedLoader {
    /// The state before the first batch.
    #[napi(getter, catch_unwind)]
    pub fn state(&self) -> String {
        self.state.clone()
    }

    #[napi(catch_unwind)]
    pub fn next(&self) -> AsyncTask<Job<Option<PackedBatch>, Option<NativeBatch>>> {
        let batches = self.batches.clone();
        Job::task(packed_batch, move || batches.next())
    }
}

#[napi(object)]
pub struct NativePackedOptions {
    pub sequence_length: u32,
    pub batch_size: u32,
    pub seed: f64,
    pub shuffle: bool,
    pub rank: u32,
    pub world: u32,
    pub document_mask: bool,
    pub ignore_index: i32,
    pub pad_id: i32,
    pub epochs: Option<u32>,
}

fn packed_batch(batch: Option<PackedBatch>) -> Option<NativeBatch> {
    batch.map(|batch| NativeBatch {
        inputs: batch.inputs.into(),
        targets: batch.targets.into(),
        documents: batch.documents.map(Into::into),
        tokens: batch.tokens as f64,
        state: to_json(&batch.state),
    })
}
