use std::io;
use std::path::{Path, PathBuf};

use elm_text::{Error, Result};

use super::stream::Stream;

/// Lines of a stream, at most `limit` bytes each, with their numbers.
pub struct LineReader {
    stream: Stream,
    path: PathBuf,
    limit: usize,
    /// Number of the line last read, from 1.
    pub number: u64,
    line: Vec<u8>,
}

impl LineReader {
    pub fn new(stream: Stream, path: &Path, limit: usize) -> LineReader {
        LineReader { stream, path: path.to_owned(), limit, number: 0, line: Vec::new() }
    }

    /// The next line without its end (LF or CRLF), or none.
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        self.number += 1;
        loop {
            let buffer = self.stream.fill_buf().map_err(|error| read_error(&self.path, &error))?;
            if buffer.is_empty() {
                if self.line.is_empty() {
                    return Ok(None);
                }
                break;
            }
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if self.line.len() + part.len() > self.limit {
                return Err(self.error(format_args!("longer than {} bytes", self.limit)));
            }
            self.line.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.stream.consume(used);
            if end.is_some() {
                break;
            }
        }
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        // A byte-order mark may stand at the very beginning.
        Ok(Some(if self.number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line }))
    }

    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::format(&self.path, format_args!("line {}: {message}", self.number))
    }
}

/// Damaged compression shows as an error of reading; it is the file's content that is wrong then.
pub fn read_error(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | Other | UnexpectedEof => Error::format(path, error),
        _ => Error::file(path, "read", error),
    }
}
