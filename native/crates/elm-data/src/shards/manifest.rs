use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use elm_text::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::control::{Control, Progress};
use crate::durable::{hex, read_bounded};

pub const MANIFEST: &str = "manifest.json";
const FORMAT: &str = "openelm-shards";
const VERSION: u32 = 1;
/// Some hundred bytes a shard: enough for a million of them.
const MAX_MANIFEST: u64 = 512 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Train,
    Validation,
}

impl Split {
    pub const fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
        }
    }
}

/// How a token id is stored: u16 where the vocabulary allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Width {
    U16,
    U32,
}

impl Width {
    pub fn for_vocabulary(size: usize) -> Width {
        if size <= 1 << 16 { Width::U16 } else { Width::U32 }
    }

    pub const fn bytes(self) -> u64 {
        match self {
            Width::U16 => 2,
            Width::U32 => 4,
        }
    }
}

/// One shard: its two files, what they hold, and their SHA-256.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardInfo {
    pub file: String,
    pub index: String,
    pub documents: u64,
    pub tokens: u64,
    /// Bytes of UTF-8 text behind the tokens, for bits per byte.
    pub text_bytes: u64,
    pub sha256: String,
    pub index_sha256: String,
}

impl ShardInfo {
    pub fn token_bytes(&self, width: Width) -> Option<u64> {
        self.tokens.checked_mul(width.bytes())
    }

    /// Whether both files are in `folder` with the lengths that they must have.
    pub fn in_place(&self, folder: &Path, width: Width) -> bool {
        let has =
            |name: &str, size| fs::metadata(folder.join(name)).is_ok_and(|found| Some(found.len()) == size);
        has(&self.file, self.token_bytes(width)) && has(&self.index, self.index_bytes())
    }

    pub fn index_bytes(&self) -> Option<u64> {
        self.documents.checked_add(1)?.checked_mul(8)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SplitInfo {
    pub documents: u64,
    pub tokens: u64,
    pub text_bytes: u64,
    pub shards: Vec<ShardInfo>,
}

impl SplitInfo {
    pub fn push(&mut self, shard: ShardInfo) {
        self.documents += shard.documents;
        self.tokens += shard.tokens;
        self.text_bytes += shard.text_bytes;
        self.shards.push(shard);
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenizerInfo {
    pub file: String,
    pub sha256: String,
    pub vocab_size: u64,
}

/// An input file, known again by its size and by a hash of its two ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InputInfo {
    pub name: String,
    pub bytes: u64,
    pub fingerprint: String,
}

/// What decides the content of the shards, apart from inputs and tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipe {
    pub text_key: String,
    pub text_unit: String,
    pub prefix_token: Option<u32>,
    pub suffix_token: Option<u32>,
    pub validation_fraction: f64,
    pub shard_tokens: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    pub format: String,
    pub version: u32,
    pub dtype: Width,
    pub tokenizer: TokenizerInfo,
    pub recipe: Recipe,
    pub inputs: Vec<InputInfo>,
    pub train: SplitInfo,
    pub validation: SplitInfo,
}

impl Manifest {
    pub fn new(tokenizer: TokenizerInfo, recipe: Recipe, inputs: Vec<InputInfo>) -> Manifest {
        Manifest {
            format: FORMAT.into(),
            version: VERSION,
            dtype: Width::for_vocabulary(tokenizer.vocab_size as usize),
            tokenizer,
            recipe,
            inputs,
            train: SplitInfo::default(),
            validation: SplitInfo::default(),
        }
    }

    /// Reads the manifest of a folder and checks that it can be trusted with names and sizes.
    pub fn read(folder: &Path) -> Result<Manifest> {
        let path = folder.join(MANIFEST);
        let bytes = read_bounded(&path, MAX_MANIFEST)?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| Error::format(&path, error))?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            let (format, version) = (&manifest.format, manifest.version);
            return Err(Error::format(
                &path,
                format_args!("{format} version {version} is not {FORMAT} version {VERSION}"),
            ));
        }
        if manifest.dtype != Width::for_vocabulary(manifest.tokenizer.vocab_size as usize) {
            return Err(Error::format(&path, "the dtype does not fit the vocabulary"));
        }
        if !is_plain(&manifest.tokenizer.file) {
            let text = format_args!("{:?} is not a plain file name", manifest.tokenizer.file);
            return Err(Error::format(&path, text));
        }
        for split in [Split::Train, Split::Validation] {
            manifest.split(split).check(manifest.dtype).map_err(|what| Error::format(&path, what))?;
        }
        Ok(manifest)
    }

    pub fn split(&self, split: Split) -> &SplitInfo {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }

    pub fn split_mut(&mut self, split: Split) -> &mut SplitInfo {
        match split {
            Split::Train => &mut self.train,
            Split::Validation => &mut self.validation,
        }
    }

    /// A short name for the content of one split: equal exactly when its shards are.
    pub fn dataset_id(&self, split: Split) -> String {
        let mut hash = Sha256::new();
        hash.update(self.tokenizer.sha256.as_bytes());
        for shard in &self.split(split).shards {
            hash.update(shard.sha256.as_bytes());
            hash.update(shard.index_sha256.as_bytes());
        }
        hex(&hash.finalize()[..8])
    }
}

impl SplitInfo {
    fn check(&self, width: Width) -> std::result::Result<(), String> {
        let mut sum = SplitInfo::default();
        for shard in &self.shards {
            if !is_plain(&shard.file) || !is_plain(&shard.index) {
                return Err(format!("{:?} is not a plain file name", shard.file));
            }
            let sizes = shard.token_bytes(width).zip(shard.index_bytes());
            let sum_fits = [
                (sum.documents, shard.documents),
                (sum.tokens, shard.tokens),
                (sum.text_bytes, shard.text_bytes),
            ]
            .iter()
            .all(|(a, b)| a.checked_add(*b).is_some());
            if sizes.is_none() || !sum_fits || shard.documents == 0 || shard.tokens < shard.documents {
                return Err(format!("{} states impossible counts", shard.file));
            }
            sum.push(shard.clone());
        }
        if (sum.documents, sum.tokens) != (self.documents, self.tokens) {
            return Err("the counts of a split are not the sums of its shards".into());
        }
        Ok(())
    }
}

/// Whether a name stays in the folder: with a separator it would reach other files.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':'])
}

/// Compares every shard of a folder with the hashes of its manifest.
pub fn verify(folder: &Path, control: &Control) -> Result<Manifest> {
    let manifest = Manifest::read(folder)?;
    let shards = || manifest.train.shards.iter().chain(&manifest.validation.shards);
    let size =
        |shard: &ShardInfo| shard.token_bytes(manifest.dtype).unwrap_or(0) + shard.index_bytes().unwrap_or(0);
    let total = shards().map(size).sum();
    let mut done = 0;
    for shard in shards() {
        for (name, expected) in [(&shard.file, &shard.sha256), (&shard.index, &shard.index_sha256)] {
            check_hash(&folder.join(name), expected, &mut |bytes| {
                done += bytes;
                control.report(Progress {
                    phase: "verify",
                    done,
                    total,
                    unit: "bytes",
                    documents: 0,
                    tokens: 0,
                });
                control.check()
            })?;
        }
    }
    Ok(manifest)
}

fn check_hash(path: &PathBuf, expected: &str, step: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
    let failed = |error: std::io::Error| Error::file(path, "read", &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        step(count as u64)?;
    }
    let found = hex(&hash.finalize());
    if found != expected {
        return Err(Error::format(path, format_args!("SHA-256 is {found}, the manifest says {expected}")));
    }
    Ok(())
}
