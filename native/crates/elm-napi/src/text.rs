//! Tokenizers for JavaScript. Whatever takes longer than some microseconds runs off the event loop.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use elm_text::{BpeTrainer, EncodeOptions, Error, ErrorKind, TokenStream, Tokenizer, TrainOptions, guard};
use napi::bindgen_prelude::*;
use napi_derive::napi;

/// An error as data: TypeScript reads the JSON and throws its own class.
pub(crate) fn to_js(error: Error) -> napi::Error {
    let path = error.path.map(|path| path.to_string_lossy().into_owned());
    let json = serde_json::json!({ "code": error.kind.code(), "message": error.message, "path": path });
    napi::Error::new(Status::GenericFailure, json.to_string())
}

type Work<T> = Box<dyn FnOnce() -> elm_text::Result<T> + Send>;

/// Runs `work` on a thread of Node's pool and makes a JavaScript value of what it returns.
pub struct Job<T: Send + 'static, J> {
    work: Option<Work<T>>,
    wrap: fn(T) -> J,
}

impl<T: Send + 'static, J> Job<T, J> {
    pub(crate) fn task(
        wrap: fn(T) -> J,
        work: impl FnOnce() -> elm_text::Result<T> + Send + 'static,
    ) -> AsyncTask<Job<T, J>>
    where
        J: ToNapiValue + TypeName + 'static,
    {
        AsyncTask::new(Job { work: Some(Box::new(work)), wrap })
    }
}

impl<T: Send + 'static, J: ToNapiValue + TypeName + 'static> Task for Job<T, J> {
    type Output = T;
    type JsValue = J;

    fn compute(&mut self) -> Result<T> {
        let work = self.work.take().expect("a job runs once");
        guard(ErrorKind::Internal, "native work", work).map_err(to_js)
    }

    fn resolve(&mut self, _env: Env, output: T) -> Result<J> {
        Ok((self.wrap)(output))
    }
}

#[napi(object)]
pub struct NativeEncodeOptions {
    pub prefix: Option<u32>,
    pub suffix: Option<u32>,
    pub parse_special: bool,
    pub template: bool,
}

#[napi(object)]
pub struct NativeSpecialToken {
    pub id: u32,
    pub text: String,
}

/// The ids of all texts, one after another, and how many each has.
#[napi(object)]
pub struct NativeEncoded {
    pub ids: Int32Array,
    pub lengths: Uint32Array,
}

#[napi]
pub struct NativeTokenizer {
    pub(crate) tokenizer: Arc<Tokenizer>,
}

fn wrap(tokenizer: Tokenizer) -> NativeTokenizer {
    NativeTokenizer { tokenizer: Arc::new(tokenizer) }
}

#[napi]
impl NativeTokenizer {
    #[napi(catch_unwind)]
    pub fn load(path: String) -> AsyncTask<Job<Tokenizer, NativeTokenizer>> {
        Job::task(wrap, move || Tokenizer::load(Path::new(&path)))
    }

    /// `huggingFace` or `sentencePiece`.
    #[napi(getter, catch_unwind)]
    pub fn kind(&self) -> &'static str {
        match self.tokenizer.kind() {
            elm_text::TokenizerKind::HuggingFace => "huggingFace",
            elm_text::TokenizerKind::SentencePiece => "sentencePiece",
        }
    }

    /// The name that its file has in a model's folder.
    #[napi(getter, catch_unwind)]
    pub fn file_name(&self) -> &'static str {
        self.tokenizer.kind().file_name()
    }

    #[napi(getter, catch_unwind)]
    pub fn vocab_size(&self) -> u32 {
        self.tokenizer.vocab_size() as u32
    }

    #[napi(getter, catch_unwind)]
    pub fn sha256(&self) -> String {
        self.tokenizer.sha256().to_owned()
    }

    /// Beginning, end and padding, where the file itself names them.
    #[napi(catch_unwind)]
    pub fn named_ids(&self) -> Vec<Option<u32>> {
        self.tokenizer.named_ids().to_vec()
    }

    #[napi(catch_unwind)]
    pub fn special_tokens(&self) -> Vec<NativeSpecialToken> {
        let tokens = self.tokenizer.special_tokens().into_iter();
        tokens.map(|token| NativeSpecialToken { id: token.id, text: token.text }).collect()
    }

    #[napi(catch_unwind)]
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.token(id)
    }

    #[napi(catch_unwind)]
    pub fn find(&self, token: String) -> Option<u32> {
        self.tokenizer.find(&token)
    }

    #[napi(catch_unwind)]
    pub fn encode_batch(
        &self,
        texts: Vec<String>,
        options: NativeEncodeOptions,
    ) -> AsyncTask<Job<Vec<Vec<u32>>, NativeEncoded>> {
        let tokenizer = self.tokenizer.clone();
        let options = EncodeOptions {
            prefix: options.prefix,
            suffix: options.suffix,
            parse_special: options.parse_special,
            template: options.template,
        };
        Job::task(
            |batch: Vec<Vec<u32>>| NativeEncoded {
                lengths: batch.iter().map(|ids| ids.len() as u32).collect::<Vec<_>>().into(),
                ids: batch.into_iter().flatten().map(|id| id as i32).collect::<Vec<_>>().into(),
            },
            move || tokenizer.encode_batch(&texts, &options),
        )
    }

    #[napi(catch_unwind)]
    pub fn decode(&self, ids: Uint32Array, skip_special: bool) -> AsyncTask<Job<String, String>> {
        let (tokenizer, ids) = (self.tokenizer.clone(), ids.to_vec());
        Job::task(|text| text, move || tokenizer.decode(&ids, skip_special))
    }

    #[napi(catch_unwind)]
    pub fn stream(&self, skip_special: bool) -> NativeTokenStream {
        NativeTokenStream { stream: TokenStream::new(self.tokenizer.clone(), skip_special) }
    }

    /// Writes the file that the tokenizer was made from, byte for byte.
    #[napi(catch_unwind)]
    pub fn save(&self, path: String) -> AsyncTask<Job<(), ()>> {
        let tokenizer = self.tokenizer.clone();
        Job::task(|()| (), move || elm_data::write_atomic(&PathBuf::from(path), tokenizer.source()))
    }
}

#[napi]
pub struct NativeTokenStream {
    stream: TokenStream,
}

#[napi]
impl NativeTokenStream {
    #[napi(catch_unwind)]
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.stream.push(id).map_err(to_js)
    }

    #[napi(catch_unwind)]
    pub fn end(&mut self) -> Result<String> {
        self.stream.end().map_err(to_js)
    }
}

#[napi(object)]
pub struct NativeTrainOptions {
    pub vocab_size: u32,
    pub special_tokens: Vec<String>,
    pub min_frequency: u32,
    pub split_digits: bool,
}

#[napi]
pub struct NativeBpeTrainer {
    /// Taken by `finish`.
    trainer: Arc<Mutex<Option<BpeTrainer>>>,
}

#[napi]
impl NativeBpeTrainer {
    #[napi(constructor, catch_unwind)]
    pub fn new(options: NativeTrainOptions) -> Result<NativeBpeTrainer> {
        let trainer = BpeTrainer::new(TrainOptions {
            vocab_size: options.vocab_size as usize,
            special_tokens: options.special_tokens,
            min_frequency: options.min_frequency.into(),
            split_digits: options.split_digits,
        });
        Ok(NativeBpeTrainer { trainer: Arc::new(Mutex::new(Some(trainer.map_err(to_js)?))) })
    }

    #[napi(catch_unwind)]
    pub fn feed(&self, texts: Vec<String>) -> AsyncTask<Job<(), ()>> {
        let trainer = self.trainer.clone();
        Job::task(
            |()| (),
            move || match &mut *trainer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) {
                Some(trainer) => trainer.feed(&texts),
                None => Err(finished()),
            },
        )
    }

    #[napi(catch_unwind)]
    pub fn finish(&self) -> AsyncTask<Job<Tokenizer, NativeTokenizer>> {
        let trainer = self.trainer.clone();
        Job::task(wrap, move || {
            let trainer = trainer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            trainer.ok_or_else(finished)?.finish()
        })
    }
}

fn finished() -> Error {
    Error::argument("this training is finished")
}
