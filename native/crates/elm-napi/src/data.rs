//! Readers, shards and loaders for JavaScript. Work of minutes has a thread of its own, so that it does not keep one
//! of Node's few.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use elm_data::{
    Control, CorenetBatch, CorenetLoader, CorenetOptions, DocumentReader, Manifest, PackedBatch,
    PackedLoader, PackedOptions, Prefetch, PrepareOptions, Progress, PythonRandom, ReaderOptions, ShardSet,
    Split, TextUnit,
};
use elm_text::{Error, ErrorKind, guard};
use napi::bindgen_prelude::*;
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::text::{Job, NativeTokenizer, to_js};

/// The least time between two reports: a person cannot follow more, and each wakes the event loop.
const REPORT_EVERY: Duration = Duration::from_millis(100);

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structures are JSON")
}

fn state_from<T: DeserializeOwned>(json: Option<String>) -> elm_text::Result<Option<T>> {
    let parse = |json: String| {
        serde_json::from_str(&json).map_err(|error| Error::config(format!("not a loader's state: {error}")))
    };
    json.map(parse).transpose()
}

fn split_from(name: &str) -> elm_text::Result<Split> {
    match name {
        "train" => Ok(Split::Train),
        "validation" => Ok(Split::Validation),
        _ => Err(Error::config(format!("split must be \"train\" or \"validation\", not {name:?}"))),
    }
}

#[napi(object)]
pub struct NativeReaderOptions {
    pub text_key: String,
    pub whole_files: bool,
    pub max_document_bytes: f64,
}

impl From<NativeReaderOptions> for ReaderOptions {
    fn from(options: NativeReaderOptions) -> ReaderOptions {
        ReaderOptions {
            text_key: options.text_key,
            text_unit: if options.whole_files { TextUnit::File } else { TextUnit::Line },
            max_document_bytes: options.max_document_bytes as usize,
        }
    }
}

/// Some documents in a row.
#[napi(object)]
pub struct NativeDocuments {
    pub texts: Vec<String>,
    /// The file has no more.
    pub done: bool,
    pub bytes_read: f64,
}

#[napi]
pub struct NativeDocumentReader {
    reader: Arc<Mutex<Reading>>,
}

pub struct Reading {
    reader: DocumentReader,
    /// An error behind documents that had to be given out first.
    failed: Option<Error>,
}

impl Reading {
    fn next(&mut self, count: usize, bytes: usize) -> elm_text::Result<NativeDocuments> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let (mut texts, mut size, mut done) = (Vec::new(), 0, false);
        while !done && texts.len() < count && size < bytes {
            match self.reader.next() {
                Ok(Some(text)) => {
                    size += text.len();
                    texts.push(text);
                }
                Ok(None) => done = true,
                Err(error) if texts.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(NativeDocuments { texts, done, bytes_read: self.reader.bytes_read() as f64 })
    }
}

#[napi]
impl NativeDocumentReader {
    #[napi(catch_unwind)]
    pub fn open(
        path: String,
        options: NativeReaderOptions,
    ) -> AsyncTask<Job<DocumentReader, NativeDocumentReader>> {
        let options = options.into();
        Job::task(
            |reader| NativeDocumentReader { reader: Arc::new(Mutex::new(Reading { reader, failed: None })) },
            move || DocumentReader::open(Path::new(&path), &options),
        )
    }

    /// The next documents: at most `count`, and no more after `bytes` of text.
    #[napi(catch_unwind)]
    pub fn next(&self, count: u32, bytes: u32) -> AsyncTask<Job<NativeDocuments, NativeDocuments>> {
        let reader = self.reader.clone();
        Job::task(
            |documents| documents,
            move || {
                let mut reader = reader.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                reader.next(count as usize, bytes as usize)
            },
        )
    }
}

#[napi(object)]
pub struct NativePrepareOptions {
    pub inputs: Vec<String>,
    pub output: String,
    pub reader: NativeReaderOptions,
    pub prefix: Option<u32>,
    pub suffix: Option<u32>,
    pub validation_fraction: f64,
    pub shard_tokens: f64,
    pub overwrite: bool,
}

#[napi(object)]
pub struct NativeProgress {
    pub phase: String,
    pub done: f64,
    pub total: f64,
    pub unit: String,
    pub documents: f64,
    pub tokens: f64,
}

impl From<Progress> for NativeProgress {
    fn from(progress: Progress) -> NativeProgress {
        NativeProgress {
            phase: progress.phase.into(),
            done: progress.done as f64,
            total: progress.total as f64,
            unit: progress.unit.into(),
            documents: progress.documents as f64,
            tokens: progress.tokens as f64,
        }
    }
}

/// The wish to stop work on a thread of its own. The work also stops when this is collected: a worker's end drops it.
#[napi]
pub struct NativeControl {
    control: Arc<Control>,
}

#[napi]
impl NativeControl {
    #[napi(constructor, catch_unwind)]
    pub fn new(on_progress: Option<Function<NativeProgress, ()>>) -> Result<NativeControl> {
        let Some(on_progress) = on_progress else {
            return Ok(NativeControl { control: Arc::new(Control::new(None)) });
        };
        let call = on_progress.build_threadsafe_function::<NativeProgress>().weak::<true>().build()?;
        let last = Mutex::new(None::<Instant>);
        let report = move |progress: Progress| {
            let mut last = last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let due = last.is_none_or(|time| time.elapsed() >= REPORT_EVERY);
            if due || progress.done == progress.total {
                *last = Some(Instant::now());
                call.call(progress.into(), ThreadsafeFunctionCallMode::NonBlocking);
            }
        };
        Ok(NativeControl { control: Arc::new(Control::new(Some(Box::new(report)))) })
    }

    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// Tokenizes a corpus; resolves to the manifest as JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn prepare<'env>(
        &self,
        env: &'env Env,
        tokenizer: &NativeTokenizer,
        options: NativePrepareOptions,
    ) -> Result<Object<'env>> {
        let tokenizer = tokenizer.tokenizer.clone();
        let control = self.control.clone();
        let options = PrepareOptions {
            inputs: options.inputs.into_iter().map(PathBuf::from).collect(),
            output: options.output.into(),
            reader: options.reader.into(),
            prefix: options.prefix,
            suffix: options.suffix,
            validation_fraction: options.validation_fraction,
            shard_tokens: options.shard_tokens as u64,
            overwrite: options.overwrite,
        };
        on_own_thread(env, move || Ok(to_json(&elm_data::prepare(&tokenizer, &options, &control)?)))
    }

    /// Compares shards with the hashes of their manifest, and resolves to it.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn verify<'env>(&self, env: &'env Env, folder: String) -> Result<Object<'env>> {
        let control = self.control.clone();
        on_own_thread(env, move || Ok(to_json(&elm_data::verify(Path::new(&folder), &control)?)))
    }
}

impl Drop for NativeControl {
    fn drop(&mut self) {
        self.control.cancel();
    }
}

fn on_own_thread<'env>(
    env: &'env Env,
    work: impl FnOnce() -> elm_text::Result<String> + Send + 'static,
) -> Result<Object<'env>> {
    let (deferred, promise) = env.create_deferred()?;
    let run = move || match guard(ErrorKind::Internal, "native work", work) {
        Ok(text) => deferred.resolve(|_| Ok(text)),
        Err(error) => deferred.reject(to_js(error)),
    };
    thread::Builder::new()
        .name("elm-data".into())
        .spawn(run)
        .map_err(|error| to_js(Error::new(ErrorKind::Internal, format!("cannot start a thread: {error}"))))?;
    Ok(promise)
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

/// A batch of either loader; `state` is JSON.
#[napi(object)]
pub struct NativeBatch {
    pub inputs: Int32Array,
    pub targets: Int32Array,
    pub documents: Option<Int32Array>,
    pub tokens: f64,
    pub state: String,
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

fn corenet_batch(batch: Option<CorenetBatch>) -> Option<NativeBatch> {
    batch.map(|batch| NativeBatch {
        inputs: batch.inputs.into(),
        targets: batch.targets.into(),
        documents: None,
        tokens: batch.tokens as f64,
        state: to_json(&batch.state),
    })
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

/// Reads the manifest of a prepared corpus, as JSON.
#[napi(catch_unwind)]
pub fn read_manifest(folder: String) -> AsyncTask<Job<Manifest, String>> {
    Job::task(|manifest| to_json(&manifest), move || Manifest::read(Path::new(&folder)))
}

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
