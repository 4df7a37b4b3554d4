use std::path::PathBuf;
use std::sync::Arc;

use elm_text::{Error, Result, Tokenizer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::worker::{Worker, WorkerPosition};
use crate::durable::hex;
use crate::prefetch::BatchSource;

#[derive(Clone, Debug)]
pub struct CorenetOptions {
    /// All files, in the order of the configuration, each with its text key.
    pub files: Vec<(PathBuf, String)>,
    /// T; samples are cut to T+1 tokens.
    pub sequence_length: usize,
    pub batch_size: usize,
    pub min_tokens: usize,
    pub min_characters: usize,
    /// Words of a piece.
    pub document_words: usize,
    pub shuffle: bool,
    pub seed: u64,
    pub rank: usize,
    pub world: usize,
    /// Loader processes of a rank in CoreNet: each has files of its own, and batches come from them in turn.
    pub workers: usize,
    pub prefix: Option<u32>,
    pub suffix: Option<u32>,
    pub pad_id: i32,
    /// Compose characters (NFC). CoreNet's option of that name also repairs text with `ftfy`, which is not done here.
    pub nfc: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CorenetState {
    pub kind: String,
    pub version: u32,
    /// Hash of files, options and tokenizer.
    pub key: String,
    pub rank: usize,
    /// Batches given out so far.
    pub batch: u64,
    pub workers: Vec<WorkerPosition>,
}

/// Rows of T, one after another; targets are the inputs shifted by one, and the pad id where there are none.
#[derive(Clone, Debug, PartialEq)]
pub struct CorenetBatch {
    pub inputs: Vec<i32>,
    pub targets: Vec<i32>,
    /// Targets that are not padding.
    pub tokens: u64,
    pub state: CorenetState,
}

/// Gives one rank of CoreNet its batches, in CoreNet's order.
pub struct CorenetLoader {
    options: Arc<CorenetOptions>,
    workers: Vec<Worker>,
    state: CorenetState,
}

impl CorenetLoader {
    pub fn new(
        tokenizer: Arc<Tokenizer>,
        options: CorenetOptions,
        state: Option<CorenetState>,
    ) -> Result<CorenetLoader> {
        check(&options)?;
        let key = key(&options, &tokenizer);
        let fresh = CorenetState {
            kind: "corenet".into(),
            version: 1,
            key,
            rank: options.rank,
            batch: 0,
            workers: vec![WorkerPosition::default(); options.workers],
        };
        let state = match state {
            None => fresh,
            Some(state) => {
                let same = (&state.kind, state.version, &state.key, state.rank, state.workers.len())
                    == (&fresh.kind, fresh.version, &fresh.key, fresh.rank, fresh.workers.len());
                if !same {
                    return Err(Error::config(
                        "the state was saved with other files, options, tokenizer, rank, world or workers",
                    ));
                }
                state
            }
        };
        let options = Arc::new(options);
        let workers = state
            .workers
            .iter()
            .enumerate()
            .map(|(i, &start)| {
                let index = options.rank * options.workers + i;
                Worker::new(options.clone(), tokenizer.clone(), index, start)
            })
            .collect::<Result<_>>()?;
        Ok(CorenetLoader { options, workers, state })
    }

    pub fn state(&self) -> &CorenetState {
        &self.state
    }
}

fn check(options: &CorenetOptions) -> Result<()> {
    let rule = |holds: bool, text: &str| if holds { Ok(()) } else { Err(Error::config(text)) };
    rule(!options.files.is_empty(), "there are no input files")?;
    rule(
        options.sequence_length > 0 && options.batch_size > 0,
        "sequenceLength and batchSize must be at least 1",
    )?;
    rule(options.sequence_length.saturating_mul(options.batch_size) <= 1 << 30, "the batch is too large")?;
    rule(options.document_words > 0, "documentWords must be at least 1")?;
    rule(options.rank < options.world, "rank must be below world")?;
    rule((1..=4096).contains(&options.workers), "workers must be 1 to 4096")
}

/// Names what the order and content of samples follow from. The batch size is left out, because a run may go on with
/// another; files count by name, so that a corpus may be moved.
fn key(options: &CorenetOptions, tokenizer: &Tokenizer) -> String {
    let CorenetOptions { files, sequence_length, min_tokens, min_characters, document_words, .. } = options;
    let CorenetOptions { shuffle, seed, world, workers, prefix, suffix, nfc, .. } = options;
    let mut hash = Sha256::new();
    for (path, text_key) in files {
        hash.update(format!("{:?} {text_key:?}\n", path.file_name().unwrap_or_default()));
    }
    hash.update(format!("{:?}", (sequence_length, min_tokens, min_characters, document_words)));
    hash.update(format!("{:?}", (shuffle, seed, world, workers, prefix, suffix, nfc)));
    hash.update(tokenizer.sha256());
    hex(&hash.finalize()[..16])
}

impl BatchSource for CorenetLoader {
    type Batch = CorenetBatch;

    /// A batch comes from one worker; the workers take turns.
    fn next_batch(&mut self) -> Result<Option<CorenetBatch>> {
        let CorenetOptions { sequence_length: length, batch_size, pad_id, .. } = *self.options;
        let turn = (self.state.batch % self.workers.len() as u64) as usize;
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        let mut tokens = 0;
        for _ in 0..batch_size {
            let sample = self.workers[turn].next()?;
            let mut row: Vec<i32> = sample.ids.iter().map(|&id| id as i32).collect();
            row.resize(length + 1, pad_id);
            inputs.extend_from_slice(&row[..length]);
            targets.extend_from_slice(&row[1..]);
            tokens += row[1..].iter().filter(|&&id| id != pad_id).count() as u64;
            self.state.workers[turn] = sample.end;
        }
        self.state.batch += 1;
        Ok(Some(CorenetBatch { inputs, targets, tokens, state: self.state.clone() }))
    }
}
