use std::path::Path;
use std::sync::{Arc, Mutex};

use elm_data::{DocumentReader, ReaderOptions, TextUnit};
use elm_text::Error;
use napi::bindgen_prelude::*;
use napi_derive::napi;

use crate::text::Job;

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
