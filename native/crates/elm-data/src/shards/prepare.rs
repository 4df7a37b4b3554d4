use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use elm_text::{Error, Result, Tokenizer};
use sha2::{Digest, Sha256};

use super::manifest::{InputInfo, MANIFEST, Manifest, Recipe, TokenizerInfo};
use super::pipeline::Pipeline;
use super::unfinished::{Unfinished, remove_leftovers};
use crate::control::Control;
use crate::durable::{hex, write_atomic};
use crate::readers::{ReaderOptions, TextUnit};

const LOCK: &str = ".lock";

#[derive(Clone, Debug)]
pub struct PrepareOptions {
    pub inputs: Vec<PathBuf>,
    pub output: PathBuf,
    pub reader: ReaderOptions,
    /// Ids put before and after each document.
    pub prefix: Option<u32>,
    pub suffix: Option<u32>,
    /// The share of documents that go to the validation split, told by a hash of the text: the same document is
    /// always on the same side, and so are its copies.
    pub validation_fraction: f64,
    /// A shard is finished with the document that reaches this.
    pub shard_tokens: u64,
    /// Replace what another run with other inputs or options has written.
    pub overwrite: bool,
}

/// Tokenizes a corpus into shards.
///
/// The shards depend on inputs, tokenizer and options alone, not on threads. A run that was killed goes on behind its
/// last finished shard; a finished one is returned as it is.
pub fn prepare(tokenizer: &Tokenizer, options: &PrepareOptions, control: &Control) -> Result<Manifest> {
    check(tokenizer, options)?;
    let folder = &options.output;
    fs::create_dir_all(folder).map_err(|error| Error::file(folder, "create the folder", &error))?;
    let _lock = lock(folder)?;

    let blank = describe(tokenizer, options)?;
    let key = serde_json::to_string(&blank).expect("a manifest is JSON");
    let key = hex(&Sha256::digest(key.as_bytes()));
    if let Some(finished) = finished(folder, &blank, options.overwrite)? {
        return Ok(finished);
    }
    let mut state = Unfinished::resume(folder, &key, blank.dtype, options.overwrite)?;
    remove_leftovers(folder, &state.segments)?;
    Pipeline { tokenizer, options, control, blank: &blank, state: &mut state }.run()?;

    let mut manifest = blank;
    for segment in &state.segments {
        segment.shards().for_each(|(split, shard)| manifest.split_mut(split).push(shard.clone()));
    }
    if manifest.train.documents + manifest.validation.documents == 0 {
        return Err(Error::config("the inputs hold no text"));
    }
    write_atomic(&folder.join(&manifest.tokenizer.file), tokenizer.source())?;
    let text = serde_json::to_string_pretty(&manifest).expect("a manifest is JSON");
    write_atomic(&folder.join(MANIFEST), text.as_bytes())?;
    Unfinished::forget(folder);
    Ok(manifest)
}

fn check(tokenizer: &Tokenizer, options: &PrepareOptions) -> Result<()> {
    if options.inputs.is_empty() {
        return Err(Error::config("there are no input files"));
    }
    if !(0.0..1.0).contains(&options.validation_fraction) {
        let fraction = options.validation_fraction;
        return Err(Error::config(format!(
            "validationFraction must be at least 0 and below 1, not {fraction}"
        )));
    }
    if options.shard_tokens == 0 {
        return Err(Error::config("shardTokens must be at least 1"));
    }
    let size = tokenizer.vocab_size();
    for id in [options.prefix, options.suffix].into_iter().flatten() {
        if id as usize >= size {
            return Err(Error::config(format!("token {id} is outside the vocabulary of {size}")));
        }
    }
    Ok(())
}

/// The lock lives as long as the process at most, so a killed run leaves none behind.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(|error| Error::file(&path, "create", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::config(format!("{}: another run is writing this folder", folder.display())))
        }
        Err(TryLockError::Error(error)) => Err(Error::file(&path, "lock", &error)),
    }
}

/// A manifest without shards: what the content follows from.
fn describe(tokenizer: &Tokenizer, options: &PrepareOptions) -> Result<Manifest> {
    let recipe = Recipe {
        text_key: options.reader.text_key.clone(),
        text_unit: match options.reader.text_unit {
            TextUnit::Line => "line".into(),
            TextUnit::File => "file".into(),
        },
        prefix_token: options.prefix,
        suffix_token: options.suffix,
        validation_fraction: options.validation_fraction,
        shard_tokens: options.shard_tokens,
    };
    let info = TokenizerInfo {
        file: tokenizer.kind().file_name().into(),
        sha256: tokenizer.sha256().into(),
        vocab_size: tokenizer.vocab_size() as u64,
    };
    let inputs = options.inputs.iter().map(|path| fingerprint(path)).collect::<Result<_>>()?;
    Ok(Manifest::new(info, recipe, inputs))
}

/// Hashes both ends of a file: enough to notice another file, cheap for a large one.
fn fingerprint(path: &Path) -> Result<InputInfo> {
    const END: u64 = 1 << 16;
    let failed = |error: std::io::Error| Error::file(path, "read", &error);
    let mut file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut ends = Vec::new();
    file.by_ref().take(END).read_to_end(&mut ends).map_err(failed)?;
    file.seek(SeekFrom::Start(bytes.saturating_sub(END))).map_err(failed)?;
    file.take(END).read_to_end(&mut ends).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(InputInfo { name, bytes, fingerprint: hex(&Sha256::digest(&ends)[..16]) })
}

/// The manifest of a finished run of the same kind, with its shards in place.
fn finished(folder: &Path, blank: &Manifest, overwrite: bool) -> Result<Option<Manifest>> {
    let path = folder.join(MANIFEST);
    if !path.exists() {
        return Ok(None);
    }
    let found = match Manifest::read(folder) {
        Err(_) if overwrite => None,
        other => Some(other?),
    };
    if let Some(found) = found {
        let same = (&found.tokenizer, &found.recipe, &found.inputs)
            == (&blank.tokenizer, &blank.recipe, &blank.inputs);
        let mut shards = found.train.shards.iter().chain(&found.validation.shards);
        if same && shards.all(|shard| shard.in_place(folder, found.dtype)) {
            return Ok(Some(found));
        }
        if !overwrite {
            let what = if same { "its shards are damaged" } else { difference(&found, blank) };
            let folder = folder.display();
            return Err(Error::config(format!(
                "{folder} holds a prepared corpus, but {what}; give overwrite to replace it, or another folder"
            )));
        }
    }
    fs::remove_file(&path).map_err(|error| Error::file(&path, "remove", &error))?;
    Ok(None)
}

fn difference(found: &Manifest, blank: &Manifest) -> &'static str {
    if found.tokenizer != blank.tokenizer {
        "made with another tokenizer"
    } else if found.inputs != blank.inputs {
        "made from other inputs"
    } else {
        "made with other options"
    }
}
