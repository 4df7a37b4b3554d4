use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use elm_text::{EncodeOptions, Error, Result, Tokenizer, pool};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::loader::CorenetOptions;
use super::piece;
use crate::python_random::PythonRandom;
use crate::readers::{DocumentReader, ReaderOptions};

/// Documents read at a time, so that their pieces can be tokenized in parallel.
const CHUNK: usize = 64;

/// Files that may be shuffled to get to where a state points: a second of work, and more than any run reads.
const MAX_SHUFFLED: u64 = 1 << 26;

/// Which files worker `index` of `world` reads in the first epoch, and the generator that shuffles its later ones.
///
/// All workers shuffle the whole list with the same seed, extend it to a multiple of their number by drawing with
/// replacement, and take every `world`-th.
pub fn worker_files(
    files: usize,
    world: usize,
    index: usize,
    shuffle: bool,
    seed: u64,
) -> (Vec<usize>, PythonRandom) {
    let mut random = PythonRandom::new(seed);
    let mut order: Vec<usize> = (0..files).collect();
    if shuffle {
        random.shuffle(&mut order);
    }
    if !files.is_multiple_of(world) {
        let extra = random.choices(files, world - files % world);
        order.extend(extra.into_iter().map(|i| order[i]).collect::<Vec<_>>());
    }
    (order.into_iter().skip(index).step_by(world).collect(), random)
}

/// Where a worker stands: behind piece `piece` of document `document` of the `file`-th file of its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerPosition {
    pub epoch: u64,
    pub file: usize,
    pub document: u64,
    pub piece: usize,
}

/// The token ids of one piece, at most T+1, and the place behind it.
pub struct Sample {
    pub ids: Vec<u32>,
    pub end: WorkerPosition,
}

/// One worker: reads its files to their ends, in order, for ever.
pub struct Worker {
    options: Arc<CorenetOptions>,
    tokenizer: Arc<Tokenizer>,
    files: Vec<usize>,
    random: PythonRandom,
    reader: Option<DocumentReader>,
    samples: VecDeque<Sample>,
    /// Where reading goes on; `piece` is only ever set to start in the middle of a document.
    position: WorkerPosition,
    /// Samples since the epoch began, to notice a corpus that the filters leave empty.
    found: u64,
}

impl Worker {
    pub fn new(
        options: Arc<CorenetOptions>,
        tokenizer: Arc<Tokenizer>,
        index: usize,
        start: WorkerPosition,
    ) -> Result<Worker> {
        let world = options.world * options.workers;
        let (mut files, mut random) =
            worker_files(options.files.len(), world, index, options.shuffle, options.seed);
        if start.file >= files.len() {
            return Err(Error::config(format!("the state points at file {} of {}", start.file, files.len())));
        }
        if options.shuffle {
            if start.epoch.saturating_mul(files.len() as u64) > MAX_SHUFFLED {
                return Err(Error::config(format!(
                    "the state points at epoch {}, which no run reaches",
                    start.epoch
                )));
            }
            for _ in 0..start.epoch {
                random.shuffle(&mut files);
            }
        }
        // What was found before the state was saved is not known; the epoch is not empty if it got somewhere.
        let found = u64::from(start.document > 0 || start.file > 0);
        Ok(Worker {
            options,
            tokenizer,
            files,
            random,
            reader: None,
            samples: VecDeque::new(),
            position: start,
            found,
        })
    }

    pub fn next(&mut self) -> Result<Sample> {
        loop {
            if let Some(sample) = self.samples.pop_front() {
                return Ok(sample);
            }
            self.fill()?;
        }
    }

    /// Reads some documents of the current file, or moves on to the next file.
    fn fill(&mut self) -> Result<()> {
        if self.reader.is_none() {
            self.reader = Some(self.open()?);
        }
        let reader = self.reader.as_mut().expect("just opened");
        let mut documents = Vec::new();
        while documents.len() < CHUNK
            && let Some(text) = reader.next()?
        {
            documents.push(text);
        }
        if documents.is_empty() {
            return self.next_file();
        }
        let pieces = self.pieces(&documents);
        let (options, tokenizer) = (&self.options, &self.tokenizer);
        let encoded: Result<Vec<Option<Sample>>> = pool().install(|| {
            let encode = |(text, end): &(&str, _)| {
                Ok(encode(options, tokenizer, text)?.map(|ids| Sample { ids, end: *end }))
            };
            pieces.par_iter().map(encode).collect()
        });
        self.position.document += documents.len() as u64;
        self.position.piece = 0;
        self.samples.extend(encoded?.into_iter().flatten());
        self.found += self.samples.len() as u64;
        Ok(())
    }

    fn open(&self) -> Result<DocumentReader> {
        let (path, key): &(PathBuf, String) = &self.options.files[self.files[self.position.file]];
        let mut reader =
            DocumentReader::open(path, &ReaderOptions { text_key: key.clone(), ..ReaderOptions::default() })?;
        reader.skip(self.position.document)?;
        Ok(reader)
    }

    fn next_file(&mut self) -> Result<()> {
        self.reader = None;
        self.position =
            WorkerPosition { epoch: self.position.epoch, file: self.position.file + 1, ..Default::default() };
        if self.position.file < self.files.len() {
            return Ok(());
        }
        if self.found == 0 {
            return Err(Error::config(
                "the filters leave nothing of the files: lower minTokens or minCharacters",
            ));
        }
        self.found = 0;
        self.position = WorkerPosition { epoch: self.position.epoch + 1, ..Default::default() };
        if self.options.shuffle {
            self.random.shuffle(&mut self.files);
        }
        Ok(())
    }

    /// The pieces of `documents`, the first of which is the one at `position`, with the place behind each.
    fn pieces<'t>(&self, documents: &'t [String]) -> Vec<(&'t str, WorkerPosition)> {
        let mut pieces = Vec::new();
        for (text, document) in documents.iter().zip(self.position.document..) {
            let parts = piece::split(text, self.options.document_words);
            let last = parts.len() - 1;
            let skip = if document == self.position.document { self.position.piece } else { 0 };
            for (i, part) in parts.into_iter().enumerate().skip(skip) {
                let (document, piece) = if i == last { (document + 1, 0) } else { (document, i + 1) };
                pieces.push((part, WorkerPosition { document, piece, ..self.position }));
            }
        }
        pieces
    }
}

/// The ids of a piece, unless a filter drops it. The filter on characters sees the text as it was read.
fn encode(options: &CorenetOptions, tokenizer: &Tokenizer, text: &str) -> Result<Option<Vec<u32>>> {
    if options.min_characters > 0 && piece::characters(text) < options.min_characters {
        return Ok(None);
    }
    let encode = EncodeOptions { prefix: options.prefix, suffix: options.suffix, ..EncodeOptions::default() };
    let mut ids = match options.nfc {
        true => tokenizer.encode(&piece::nfc(text), &encode)?,
        false => tokenizer.encode(text, &encode)?,
    };
    if ids.len() < options.min_tokens {
        return Ok(None);
    }
    ids.truncate(options.sequence_length + 1);
    Ok(Some(ids))
}
