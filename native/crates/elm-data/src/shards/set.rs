use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use elm_text::{Error, Result};
use memmap2::Mmap;

use super::manifest::{Manifest, Split, Width};

/// A file mapped for reading, and what it was like when it was opened.
struct Mapped {
    path: PathBuf,
    map: Mmap,
    modified: Option<SystemTime>,
}

impl Mapped {
    fn open(path: PathBuf, expected: Option<u64>) -> Result<Mapped> {
        let failed = |error: std::io::Error| Error::file(&path, "map", &error);
        let file = File::open(&path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if Some(found.len()) != expected {
            let expected = expected.map_or("more than a file can hold".into(), |size| size.to_string());
            return Err(Error::format(
                &path,
                format_args!("{} bytes; the manifest says {expected}", found.len()),
            ));
        }
        // SAFETY: shards are written under another name and never changed afterwards; `check` notices one that is
        // replaced or cut before a batch reads it.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Mapped { map, modified: found.modified().ok(), path })
    }

    /// An error where the file is no longer the one that was opened: reading behind a new end would be a fault.
    fn check(&self) -> Result<()> {
        let found = fs::metadata(&self.path).map_err(|error| Error::file(&self.path, "read", &error))?;
        if found.len() != self.map.len() as u64 || found.modified().ok() != self.modified {
            return Err(Error::format(&self.path, "the file has changed while it was in use"));
        }
        Ok(())
    }
}

struct Shard {
    tokens: Mapped,
    index: Mapped,
    /// Number of the shard's first document in the split.
    first: u64,
}

/// One split of a prepared corpus, mapped into memory: documents by number.
pub struct ShardSet {
    manifest: Manifest,
    split: Split,
    id: String,
    shards: Vec<Shard>,
    documents: u64,
}

/// Where a document's tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document {
    pub shard: usize,
    pub start: u64,
    pub length: u64,
}

impl ShardSet {
    /// Opens a folder; the length of every file is checked against the manifest.
    pub fn open(folder: &Path, split: Split) -> Result<ShardSet> {
        let manifest = Manifest::read(folder)?;
        let mut shards = Vec::new();
        let mut documents = 0;
        for info in &manifest.split(split).shards {
            shards.push(Shard {
                tokens: Mapped::open(folder.join(&info.file), info.token_bytes(manifest.dtype))?,
                index: Mapped::open(folder.join(&info.index), info.index_bytes())?,
                first: documents,
            });
            documents += info.documents;
        }
        Ok(ShardSet { id: manifest.dataset_id(split), manifest, split, shards, documents })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn split(&self) -> Split {
        self.split
    }

    /// A short name for the content, for the state of a loader.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn documents(&self) -> u64 {
        self.documents
    }

    pub fn tokens(&self) -> u64 {
        self.manifest.split(self.split).tokens
    }

    /// Finds document `number`, which must be below [`ShardSet::documents`].
    pub fn document(&self, number: u64) -> Result<Document> {
        let shard = self.shards.partition_point(|shard| shard.first <= number) - 1;
        let Shard { index, first, tokens } = &self.shards[shard];
        let at = (number - first) as usize * 8;
        let entry = |at: usize| u64::from_le_bytes(index.map[at..at + 8].try_into().expect("8 bytes"));
        let (start, end) = (entry(at), entry(at + 8));
        let count = tokens.map.len() as u64 / self.manifest.dtype.bytes();
        if start >= end || end > count {
            let text = format_args!("document {} lies at {start}..{end} of {count} tokens", number - first);
            return Err(Error::format(&index.path, text));
        }
        Ok(Document { shard, start, length: end - start })
    }

    /// Appends tokens `from..from + count` of a document.
    pub fn read(&self, document: Document, from: u64, count: u64, out: &mut Vec<i32>) -> Result<()> {
        assert!(from + count <= document.length, "{count} tokens from {from} of {}", document.length);
        let width = self.manifest.dtype.bytes();
        let Shard { tokens, .. } = &self.shards[document.shard];
        let start = ((document.start + from) * width) as usize;
        let bytes = &tokens.map[start..start + (count * width) as usize];
        let begin = out.len();
        match self.manifest.dtype {
            Width::U16 => {
                out.extend(bytes.chunks_exact(2).map(|id| i32::from(u16::from_le_bytes([id[0], id[1]]))));
            }
            Width::U32 => {
                let id = |id: &[u8]| u32::from_le_bytes(id.try_into().expect("4 bytes")) as i32;
                out.extend(bytes.chunks_exact(4).map(id));
            }
        }
        let size = self.manifest.tokenizer.vocab_size;
        // As u64 a negative number is beyond any vocabulary.
        if let Some(id) = out[begin..].iter().find(|&&id| id as u64 >= size) {
            return Err(Error::format(
                &tokens.path,
                format_args!("token {id} is outside the vocabulary of {size}"),
            ));
        }
        Ok(())
    }

    /// An error where a file of this shard has changed since it was opened.
    pub fn check(&self, shard: usize) -> Result<()> {
        self.shards[shard].tokens.check()?;
        self.shards[shard].index.check()
    }
}
