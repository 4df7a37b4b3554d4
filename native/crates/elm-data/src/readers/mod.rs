//! Documents out of files: text, JSON lines and Parquet, plain or compressed.

mod json_lines;
mod lines;
mod pages;
mod parquet;
mod parquet_heads;
mod stream;
mod text;
mod thrift;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use elm_text::{Error, Result};

/// What is one document of a plain text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextUnit {
    Line,
    File,
}

#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// The key (JSON) or column (Parquet) that holds the text.
    pub text_key: String,
    pub text_unit: TextUnit,
    /// A document larger than this is an error: it also bounds what a small compressed file can ask for.
    pub max_document_bytes: usize,
}

impl Default for ReaderOptions {
    fn default() -> ReaderOptions {
        ReaderOptions { text_key: "text".into(), text_unit: TextUnit::Line, max_document_bytes: 256 << 20 }
    }
}

/// One format's documents, in file order.
trait Source: Send {
    fn next(&mut self) -> Result<Option<String>>;

    /// Passes over `count` documents, or to the end.
    fn skip(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            if self.next()?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// The documents of one file. A row without text is an empty document, so that numbers of documents are numbers of
/// rows.
pub struct DocumentReader {
    path: PathBuf,
    source: Box<dyn Source>,
    read: Arc<AtomicU64>,
}

impl DocumentReader {
    /// Opens a file by its suffix: `.parquet`; `.jsonl`, `.ndjson`, `.json` (one object a line); `.txt`, `.text`,
    /// `.md`; all but Parquet also with `.gz` or `.zst` behind.
    pub fn open(path: &Path, options: &ReaderOptions) -> Result<DocumentReader> {
        let read = Arc::new(AtomicU64::new(0));
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
        let suffix = plain.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        let source: Box<dyn Source> = match suffix {
            "parquet" if plain == name => {
                Box::new(parquet::ParquetColumn::open(path, options, read.clone())?)
            }
            "jsonl" | "ndjson" | "json" => {
                Box::new(json_lines::JsonLines::new(stream::open(path, read.clone())?, path, options))
            }
            "txt" | "text" | "md" => match options.text_unit {
                TextUnit::Line => {
                    Box::new(text::Lines::new(stream::open(path, read.clone())?, path, options))
                }
                TextUnit::File => {
                    Box::new(text::Whole::new(stream::open(path, read.clone())?, path, options))
                }
            },
            _ => {
                return Err(Error::config(format!(
                    "{}: no reader for this suffix; .txt, .md, .jsonl, .json (lines), each also .gz or .zst, and .parquet can be read",
                    path.display()
                )));
            }
        };
        Ok(DocumentReader { path: path.to_owned(), source, read })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results would hide that an error ends it"
    )]
    pub fn next(&mut self) -> Result<Option<String>> {
        self.source.next()
    }

    pub fn skip(&mut self, count: u64) -> Result<()> {
        self.source.skip(count)
    }

    /// Bytes of the file that have been read, compressed ones where it is.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}
