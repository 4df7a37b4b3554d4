use std::io::Read;
use std::path::{Path, PathBuf};

use elm_text::{Error, Result};

use super::lines::{LineReader, read_error};
use super::stream::Stream;
use super::{ReaderOptions, Source};

/// A text file, one document a line; empty lines are none.
pub struct Lines(LineReader);

impl Lines {
    pub fn new(stream: Stream, path: &Path, options: &ReaderOptions) -> Lines {
        Lines(LineReader::new(stream, path, options.max_document_bytes))
    }
}

impl Source for Lines {
    fn next(&mut self) -> Result<Option<String>> {
        loop {
            let Some(line) = self.0.next()? else { return Ok(None) };
            if line.is_empty() {
                continue;
            }
            return match std::str::from_utf8(line) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(error) => {
                    let column = error.valid_up_to() + 1;
                    Err(self.0.error(format_args!("not UTF-8 at byte {column} of the line")))
                }
            };
        }
    }
}

/// A text file that is one document.
pub struct Whole {
    stream: Option<Stream>,
    path: PathBuf,
    limit: usize,
}

impl Whole {
    pub fn new(stream: Stream, path: &Path, options: &ReaderOptions) -> Whole {
        Whole { stream: Some(stream), path: path.to_owned(), limit: options.max_document_bytes }
    }
}

impl Source for Whole {
    fn next(&mut self) -> Result<Option<String>> {
        let Some(stream) = self.stream.take() else { return Ok(None) };
        let mut bytes = Vec::new();
        let limit = self.limit as u64;
        stream.take(limit + 1).read_to_end(&mut bytes).map_err(|error| read_error(&self.path, &error))?;
        if bytes.len() > self.limit {
            return Err(Error::format(&self.path, format_args!("longer than {limit} bytes")));
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            Error::format(&self.path, format_args!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        })?;
        Ok(Some(text))
    }
}
