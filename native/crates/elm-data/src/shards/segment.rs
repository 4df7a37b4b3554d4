use std::path::Path;

use elm_text::Result;
use serde::{Deserialize, Serialize};

use super::manifest::{ShardInfo, Split, Width};
use crate::durable::NewFile;

/// A place between two documents of the corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Position {
    pub input: usize,
    /// Documents of that input that have been read.
    pub document: u64,
}

/// A stretch of the corpus that is on disk: at most one shard of each split, cut at the same document, so that work
/// can go on behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Segment {
    pub train: Option<ShardInfo>,
    pub validation: Option<ShardInfo>,
    pub end: Position,
}

impl Segment {
    pub fn shards(&self) -> impl Iterator<Item = (Split, &ShardInfo)> {
        let train = self.train.as_ref().map(|shard| (Split::Train, shard));
        train.into_iter().chain(self.validation.as_ref().map(|shard| (Split::Validation, shard)))
    }
}

/// Writes one shard; its files appear when it is finished.
pub struct ShardWriter {
    info: ShardInfo,
    tokens: NewFile,
    index: NewFile,
    width: Width,
    buffer: Vec<u8>,
}

impl ShardWriter {
    pub fn create(folder: &Path, split: Split, number: usize, width: Width) -> Result<ShardWriter> {
        let name = format!("{}-{number:05}", split.name());
        let info = ShardInfo {
            file: format!("{name}.bin"),
            index: format!("{name}.idx"),
            documents: 0,
            tokens: 0,
            text_bytes: 0,
            sha256: String::new(),
            index_sha256: String::new(),
        };
        let tokens = NewFile::create(&folder.join(&info.file))?;
        let mut index = NewFile::create(&folder.join(&info.index))?;
        index.write(&0_u64.to_le_bytes())?;
        Ok(ShardWriter { info, tokens, index, width, buffer: Vec::new() })
    }

    pub fn push(&mut self, ids: &[u32], text_bytes: u64) -> Result<()> {
        self.buffer.clear();
        match self.width {
            Width::U16 => self.buffer.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
            Width::U32 => self.buffer.extend(ids.iter().flat_map(|id| id.to_le_bytes())),
        }
        self.tokens.write(&self.buffer)?;
        self.info.documents += 1;
        self.info.tokens += ids.len() as u64;
        self.info.text_bytes += text_bytes;
        self.index.write(&self.info.tokens.to_le_bytes())
    }

    pub fn tokens(&self) -> u64 {
        self.info.tokens
    }

    pub fn finish(self) -> Result<ShardInfo> {
        let mut info = self.info;
        info.sha256 = self.tokens.finish()?;
        info.index_sha256 = self.index.finish()?;
        Ok(info)
    }
}
