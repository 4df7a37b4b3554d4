use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use elm_text::{EncodeOptions, Error, ErrorKind, Result, Tokenizer, guard, pool};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::manifest::{Manifest, Split};
use super::prepare::PrepareOptions;
use super::segment::{Position, Segment, ShardWriter};
use super::unfinished::Unfinished;
use crate::control::{Control, Progress};
use crate::readers::{DocumentReader, ReaderOptions};

/// Text that is tokenized at a time: enough for all threads, little beside a shard.
const BATCH_BYTES: usize = 4 << 20;
const BATCH_DOCUMENTS: usize = 4096;

/// Documents with the place behind each.
type Batch = Vec<(String, Position)>;

struct Chunk {
    documents: Batch,
    /// Bytes of the inputs read so far.
    done: u64,
}

/// One run: from where the unfinished corpus stops to the end of the inputs.
pub struct Pipeline<'a> {
    pub tokenizer: &'a Tokenizer,
    pub options: &'a PrepareOptions,
    pub control: &'a Control,
    pub blank: &'a Manifest,
    pub state: &'a mut Unfinished,
}

impl Pipeline<'_> {
    /// One thread reads, the pool tokenizes, this thread writes, in the order of the corpus.
    pub fn run(&mut self) -> Result<()> {
        let (sender, batches) = sync_channel(3);
        let (inputs, reader) = (self.options.inputs.clone(), self.options.reader.clone());
        let start = self.state.position();
        let reading = thread::Builder::new().name("elm-read".into()).spawn(move || {
            let outcome = guard(ErrorKind::Internal, "reader", || read_all(&inputs, &reader, start, &sender));
            if let Err(error) = outcome {
                // Nobody waits for it any more if this fails.
                let _ = sender.send(Err(error));
            }
        });
        let reading = reading.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let outcome = self.write(&batches);
        // The reader ends at its next batch, now that nobody takes it.
        drop(batches);
        let _ = reading.join();
        outcome
    }

    fn write(&mut self, batches: &Receiver<Result<Chunk>>) -> Result<()> {
        let total = self.blank.inputs.iter().map(|input| input.bytes).sum();
        let (mut documents, mut tokens) = (0, 0);
        for (_, shard) in self.state.segments.iter().flat_map(Segment::shards) {
            documents += shard.documents;
            tokens += shard.tokens;
        }
        let mut writers = Writers::default();
        let mut position = self.state.position();
        for read in batches {
            let Chunk { documents: batch, done } = read?;
            let encoded = self.encode(&batch)?;
            // Cancelled midway, documents are missing from it.
            self.control.check()?;
            for (encoded, (text, end)) in encoded.into_iter().zip(&batch) {
                position = *end;
                let Some((split, ids)) = encoded else { continue };
                documents += 1;
                tokens += ids.len() as u64;
                let train_tokens = writers.push(self, split, &ids, text.len() as u64)?;
                if train_tokens >= self.options.shard_tokens {
                    writers.commit(self, position)?;
                }
            }
            self.control.report(Progress {
                phase: "tokenize",
                done,
                total,
                unit: "bytes",
                documents,
                tokens,
            });
        }
        self.control.check()?;
        writers.commit(self, position)
    }

    /// The split and the ids of each document; none for one without text.
    fn encode(&self, batch: &Batch) -> Result<Vec<Option<(Split, Vec<u32>)>>> {
        let encode = EncodeOptions {
            prefix: self.options.prefix,
            suffix: self.options.suffix,
            ..EncodeOptions::default()
        };
        let threshold = self.options.validation_fraction * 2_f64.powi(64);
        pool().install(|| {
            batch
                .par_iter()
                .map(|(text, _)| {
                    if text.is_empty() || self.control.check().is_err() {
                        return Ok(None);
                    }
                    let ids = self.tokenizer.encode(text, &encode)?;
                    let digest = Sha256::digest(text.as_bytes());
                    let hash = u64::from_be_bytes(digest[..8].try_into().expect("8 bytes"));
                    let split = if (hash as f64) < threshold { Split::Validation } else { Split::Train };
                    Ok((!ids.is_empty()).then_some((split, ids)))
                })
                .collect()
        })
    }
}

/// The shards being written; each is made with its first document.
#[derive(Default)]
struct Writers {
    train: Option<ShardWriter>,
    validation: Option<ShardWriter>,
}

impl Writers {
    /// Returns the tokens of the larger of the open shards.
    fn push(&mut self, work: &Pipeline, split: Split, ids: &[u32], text_bytes: u64) -> Result<u64> {
        let writer = match split {
            Split::Train => &mut self.train,
            Split::Validation => &mut self.validation,
        };
        let writer = match writer {
            Some(writer) => writer,
            None => {
                let number = work.state.segments.len();
                writer.insert(ShardWriter::create(&work.options.output, split, number, work.blank.dtype)?)
            }
        };
        writer.push(ids, text_bytes)?;
        Ok(writer.tokens())
    }

    fn commit(&mut self, work: &mut Pipeline, end: Position) -> Result<()> {
        let finish = |writer: Option<ShardWriter>| writer.map(ShardWriter::finish).transpose();
        let (train, validation) = (finish(self.train.take())?, finish(self.validation.take())?);
        if train.is_none() && validation.is_none() {
            return Ok(());
        }
        work.state.commit(&work.options.output, Segment { train, validation, end })
    }
}

fn read_all(
    inputs: &[PathBuf],
    options: &ReaderOptions,
    start: Position,
    sender: &SyncSender<Result<Chunk>>,
) -> Result<()> {
    let mut finished = 0;
    let (mut batch, mut bytes) = (Batch::new(), 0);
    for (input, path) in inputs.iter().enumerate() {
        if input < start.input {
            finished += fs::metadata(path).map_or(0, |found| found.len());
            continue;
        }
        let mut reader = DocumentReader::open(path, options)?;
        let mut document = 0;
        if input == start.input {
            reader.skip(start.document)?;
            document = start.document;
        }
        while let Some(text) = reader.next()? {
            document += 1;
            bytes += text.len();
            batch.push((text, Position { input, document }));
            if bytes >= BATCH_BYTES || batch.len() == BATCH_DOCUMENTS {
                let read =
                    Chunk { documents: std::mem::take(&mut batch), done: finished + reader.bytes_read() };
                bytes = 0;
                if sender.send(Ok(read)).is_err() {
                    return Ok(());
                }
            }
        }
        finished += reader.bytes_read();
    }
    let _ = sender.send(Ok(Chunk { documents: batch, done: finished }));
    Ok(())
}
