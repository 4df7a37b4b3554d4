use std::sync::Arc;

use elm_text::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::permutation::Permutation;
use crate::prefetch::BatchSource;
use crate::shards::ShardSet;

/// Integers that JavaScript holds exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;

#[derive(Clone, Debug)]
pub struct PackedOptions {
    /// T: positions of a sequence.
    pub sequence_length: usize,
    /// Sequences of a batch, on one rank.
    pub batch_size: usize,
    pub seed: u64,
    pub shuffle: bool,
    pub rank: u64,
    pub world: u64,
    /// Number documents inside a sequence, and ask for no prediction across their border.
    pub document_mask: bool,
    /// What a position's target is where nothing is to be predicted.
    pub ignore_index: i32,
    /// What fills the inputs behind the end of the last epoch.
    pub pad_id: i32,
    /// How often to pass over the corpus; without end if none.
    pub epochs: Option<u64>,
}

/// Where a loader stands: between two batches of all ranks together, and so the same on each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PackedState {
    pub kind: String,
    pub version: u32,
    /// Which corpus: [`ShardSet::id`].
    pub dataset: String,
    pub seed: u64,
    pub shuffle: bool,
    pub sequence_length: usize,
    /// Sequences given out so far, on all ranks.
    pub sequence: u64,
    pub epoch: u64,
    /// Position in the order of the epoch.
    pub document: u64,
    /// Tokens of that document that have been inputs.
    pub offset: u64,
}

/// Rows of `sequence_length`, one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedBatch {
    pub inputs: Vec<i32>,
    /// The token behind each input, or the ignored index.
    pub targets: Vec<i32>,
    /// The number of each position's document within its row, from 0; -1 behind the end.
    pub documents: Option<Vec<i32>>,
    /// Targets that are not ignored.
    pub tokens: u64,
    /// Where to go on after this batch.
    pub state: PackedState,
}

/// Fills sequences with documents back to back.
///
/// The corpus is one stream: all documents in the order of the epoch, epoch after epoch. Sequence g has tokens
/// gT … gT+T-1 of it as inputs and the tokens behind them as targets, so no token is left out and none is an input
/// twice. Rank r of w takes of every w·B sequences those from r·B to r·B+B-1.
pub struct PackedLoader {
    shards: Arc<ShardSet>,
    options: PackedOptions,
    cursor: Cursor,
    sequence: u64,
}

/// A place in the stream.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    epoch: u64,
    document: u64,
    offset: u64,
    order: Permutation,
}

impl PackedLoader {
    pub fn new(
        shards: Arc<ShardSet>,
        options: PackedOptions,
        state: Option<&PackedState>,
    ) -> Result<PackedLoader> {
        let o = &options;
        let rule = |holds: bool, text: String| if holds { Ok(()) } else { Err(Error::config(text)) };
        rule(
            o.sequence_length > 0 && o.batch_size > 0,
            "sequenceLength and batchSize must be at least 1".into(),
        )?;
        let size = o.sequence_length.saturating_mul(o.batch_size);
        rule(size <= 1 << 30, format!("a batch of {size} positions is too large"))?;
        rule(o.rank < o.world, format!("rank {} is not below world {}", o.rank, o.world))?;
        rule(o.seed <= MAX_SAFE, format!("seed must be at most {MAX_SAFE}"))?;
        rule(o.epochs != Some(0), "epochs must be at least 1".into())?;
        rule(shards.documents() > 0, format!("the {} split is empty", shards.split().name()))?;
        let order = Permutation::new(shards.documents(), o.seed, 0);
        let cursor = Cursor { epoch: 0, document: 0, offset: 0, order };
        let mut loader = PackedLoader { shards, options, cursor, sequence: 0 };
        if let Some(state) = state {
            loader.restore(state)?;
        }
        Ok(loader)
    }

    fn restore(&mut self, state: &PackedState) -> Result<()> {
        let mine = self.state();
        let same = |what: &str, found: &dyn std::fmt::Display, wanted: &dyn std::fmt::Display| {
            let (found, wanted) = (found.to_string(), wanted.to_string());
            if found == wanted {
                return Ok(());
            }
            Err(Error::config(format!("the state was saved with {what} {found}, this loader has {wanted}")))
        };
        same("kind", &state.kind, &mine.kind)?;
        same("version", &state.version, &mine.version)?;
        same("dataset", &state.dataset, &mine.dataset)?;
        same("seed", &state.seed, &mine.seed)?;
        same("shuffle", &state.shuffle, &mine.shuffle)?;
        same("sequenceLength", &state.sequence_length, &mine.sequence_length)?;
        self.cursor =
            Cursor { epoch: state.epoch, document: state.document, offset: state.offset, ..self.cursor };
        self.cursor.order = Permutation::new(self.shards.documents(), self.options.seed, state.epoch);
        self.sequence = state.sequence;
        let inside = state.document < self.shards.documents() && state.offset < self.length(&self.cursor)?;
        if inside || self.past_last_epoch(&self.cursor) {
            return Ok(());
        }
        let (document, offset) = (state.document, state.offset);
        Err(Error::config(format!(
            "the state points at token {offset} of document {document}, which is not there"
        )))
    }

    pub fn state(&self) -> PackedState {
        PackedState {
            kind: "packed".into(),
            version: 1,
            dataset: self.shards.id().into(),
            seed: self.options.seed,
            shuffle: self.options.shuffle,
            sequence_length: self.options.sequence_length,
            sequence: self.sequence,
            epoch: self.cursor.epoch,
            document: self.cursor.document,
            offset: self.cursor.offset,
        }
    }

    fn past_last_epoch(&self, cursor: &Cursor) -> bool {
        self.options.epochs.is_some_and(|epochs| cursor.epoch >= epochs)
    }

    fn number(&self, cursor: &Cursor) -> u64 {
        if self.options.shuffle { cursor.order.at(cursor.document) } else { cursor.document }
    }

    fn length(&self, cursor: &Cursor) -> Result<u64> {
        Ok(self.shards.document(self.number(cursor))?.length)
    }

    fn next_document(&self, cursor: &mut Cursor) {
        cursor.offset = 0;
        cursor.document += 1;
        if cursor.document == self.shards.documents() {
            cursor.document = 0;
            cursor.epoch += 1;
            cursor.order = Permutation::new(self.shards.documents(), self.options.seed, cursor.epoch);
        }
    }

    /// Moves `count` tokens on, or to the end.
    fn advance(&self, cursor: &mut Cursor, mut count: u64) -> Result<()> {
        while count > 0 && !self.past_last_epoch(cursor) {
            let left = self.length(cursor)? - cursor.offset;
            if left > count {
                cursor.offset += count;
                return Ok(());
            }
            count -= left;
            self.next_document(cursor);
        }
        Ok(())
    }

    /// Whether nothing is left to predict: the end, or the stream's last token.
    fn is_over(&self) -> Result<bool> {
        let mut next = self.cursor;
        self.advance(&mut next, 1)?;
        Ok(self.past_last_epoch(&next))
    }

    /// Appends one row to `batch`, from where `cursor` is.
    fn fill(&self, mut cursor: Cursor, batch: &mut PackedBatch, row: &mut Row) -> Result<()> {
        let length = self.options.sequence_length;
        row.clear();
        while row.tokens.len() <= length && !self.past_last_epoch(&cursor) {
            let document = self.shards.document(self.number(&cursor))?;
            if row.shards.last() != Some(&document.shard) {
                self.shards.check(document.shard)?;
                row.shards.push(document.shard);
            }
            let wanted = (length + 1 - row.tokens.len()) as u64;
            let count = wanted.min(document.length - cursor.offset);
            self.shards.read(document, cursor.offset, count, &mut row.tokens)?;
            row.documents.resize(row.tokens.len(), row.count);
            row.count += 1;
            self.next_document(&mut cursor);
        }
        row.tokens.resize(length + 1, self.options.pad_id);
        row.documents.resize(length + 1, PADDING);
        let predicts = |i: usize| {
            let (here, next) = (row.documents[i], row.documents[i + 1]);
            next != PADDING && (here == next || !self.options.document_mask)
        };
        for i in 0..length {
            let target = if predicts(i) { row.tokens[i + 1] } else { self.options.ignore_index };
            batch.targets.push(target);
            batch.tokens += u64::from(predicts(i));
        }
        batch.inputs.extend_from_slice(&row.tokens[..length]);
        if let Some(documents) = &mut batch.documents {
            documents.extend_from_slice(&row.documents[..length]);
        }
        Ok(())
    }
}

const PADDING: i32 = -1;

/// One row in the making: T+1 tokens, the number of each one's document, and the shards they came from.
#[derive(Default)]
struct Row {
    tokens: Vec<i32>,
    documents: Vec<i32>,
    count: i32,
    shards: Vec<usize>,
}

impl Row {
    fn clear(&mut self) {
        self.tokens.clear();
        self.documents.clear();
        self.count = 0;
        self.shards.clear();
    }
}

impl BatchSource for PackedLoader {
    type Batch = PackedBatch;

    fn next_batch(&mut self) -> Result<Option<PackedBatch>> {
        if self.is_over()? {
            return Ok(None);
        }
        let PackedOptions { sequence_length, batch_size, rank, world, document_mask, .. } = self.options;
        let size = sequence_length * batch_size;
        let mut batch = PackedBatch {
            inputs: Vec::with_capacity(size),
            targets: Vec::with_capacity(size),
            documents: document_mask.then(|| Vec::with_capacity(size)),
            tokens: 0,
            state: self.state(),
        };
        let mut cursor = self.cursor;
        let mut row = Row::default();
        self.advance(&mut cursor, rank * size as u64)?;
        for _ in 0..batch_size {
            self.fill(cursor, &mut batch, &mut row)?;
            self.advance(&mut cursor, sequence_length as u64)?;
        }
        self.advance(&mut cursor, (world - 1 - rank) * size as u64)?;
        self.cursor = cursor;
        self.sequence += batch_size as u64 * world;
        batch.state = self.state();
        Ok(Some(batch))
    }
}
