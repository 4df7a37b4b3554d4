//! Work of minutes has a thread of its own, so that it does not keep one of Node's few.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use elm_data::{Control, PrepareOptions, Progress};
use elm_text::{Error, ErrorKind, guard};
use napi::bindgen_prelude::*;
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;

use super::documents::NativeReaderOptions;
use super::to_json;
use crate::text::{NativeTokenizer, to_js};

/// The least time between two reports: a person cannot follow more, and each wakes the event loop.
const REPORT_EVERY: Duration = Duration::from_millis(100);

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
