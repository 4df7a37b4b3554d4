use ahash::AHashMap;
use compact_str::CompactString;
use rayon::prelude::*;
use tokenizers::models::bpe::{BPE, BpeTrainer as MergeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
    Tokenizer as Json,
};

use crate::error::{Error, ErrorKind, Result, guard};
use crate::pool::pool;
use crate::tokenizer::Tokenizer;

/// Every byte has a token of its own, so any text can be encoded.
const BYTES: usize = 256;

type Counts = AHashMap<CompactString, u64>;

#[derive(Clone, Debug)]
pub struct TrainOptions {
    pub vocab_size: usize,
    /// They take the first ids, in this order.
    pub special_tokens: Vec<String>,
    /// A pair is merged only if it occurs this often.
    pub min_frequency: u64,
    /// Each digit is a token of its own, so that numbers are spelt the same way everywhere.
    pub split_digits: bool,
}

/// Trains a byte-level BPE tokenizer: counts words as text comes, then merges.
///
/// Memory grows with the number of different words, not with the text. The same text gives the same file, whatever
/// the order in which it comes and the number of threads. Radford et al., 2019, "Language Models are Unsupervised
/// Multitask Learners", section 2.2.
pub struct BpeTrainer {
    options: TrainOptions,
    split: PreTokenizerWrapper,
    counts: Counts,
}

impl BpeTrainer {
    pub fn new(options: TrainOptions) -> Result<BpeTrainer> {
        let least = BYTES + options.special_tokens.len();
        if options.vocab_size < least || options.vocab_size > i32::MAX as usize {
            return Err(Error::config(format!(
                "vocabSize must be at least {least} ({BYTES} bytes and {} special tokens), not {}",
                options.special_tokens.len(),
                options.vocab_size
            )));
        }
        for (i, token) in options.special_tokens.iter().enumerate() {
            if token.is_empty() || options.special_tokens[..i].contains(token) {
                return Err(Error::config(format!("special token {token:?} is empty or given twice")));
            }
        }
        let bytes = ByteLevel::new(false, true, true);
        let split: PreTokenizerWrapper = match options.split_digits {
            true => Sequence::new(vec![Digits::new(true).into(), bytes.into()]).into(),
            false => bytes.into(),
        };
        Ok(BpeTrainer { options, split, counts: Counts::new() })
    }

    /// Counts the words of `texts`, in parallel.
    pub fn feed<T: AsRef<str> + Sync>(&mut self, texts: &[T]) -> Result<()> {
        let split = &self.split;
        let merge = |mut a: Counts, b: Counts| {
            b.into_iter().for_each(|(word, count)| *a.entry(word).or_default() += count);
            a
        };
        let counts = pool().install(|| {
            texts
                .par_iter()
                .with_min_len(8)
                .try_fold(Counts::new, |counts, text| count_words(split, text.as_ref(), counts))
                .try_reduce(Counts::new, |a, b| Ok(if a.len() < b.len() { merge(b, a) } else { merge(a, b) }))
        })?;
        let all = std::mem::take(&mut self.counts);
        self.counts = if all.len() < counts.len() { merge(counts, all) } else { merge(all, counts) };
        Ok(())
    }

    /// Merges, and returns the tokenizer.
    pub fn finish(self) -> Result<Tokenizer> {
        let BpeTrainer { options, split, counts } = self;
        if counts.is_empty() {
            return Err(Error::config("there is no text to train on"));
        }
        let json = guard(ErrorKind::Internal, "training", || {
            pool().install(|| train(&options, split, counts)).map_err(internal)
        })?;
        Tokenizer::parse(json.into_bytes())
    }
}

fn train(options: &TrainOptions, split: PreTokenizerWrapper, counts: Counts) -> tokenizers::Result<String> {
    let special: Vec<AddedToken> =
        options.special_tokens.iter().map(|token| AddedToken::from(token.clone(), true)).collect();
    let trainer = MergeTrainer::builder()
        .vocab_size(options.vocab_size)
        .min_frequency(options.min_frequency)
        .special_tokens(special.clone())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    let mut model = BPE::default();
    trainer.do_train(&scaled(counts), &mut model)?;
    let mut tokenizer = Json::new(model);
    tokenizer.with_pre_tokenizer(Some(split));
    tokenizer.with_decoder(Some(ByteLevel::new(false, true, true)));
    tokenizer.add_special_tokens(special)?;
    tokenizer.to_string(true)
}

/// The crate counts pairs in 32 bits: divides all counts by what keeps their sum, rounded up, below that.
fn scaled(mut counts: Counts) -> Counts {
    let pairs: u64 = counts.iter().map(|(word, count)| word.chars().count() as u64 * count).sum();
    let divisor = pairs / (i32::MAX as u64 / 2) + 1;
    if divisor > 1 {
        counts.values_mut().for_each(|count| *count = count.div_ceil(divisor));
    }
    counts
}

fn count_words(split: &PreTokenizerWrapper, text: &str, mut counts: Counts) -> Result<Counts> {
    let mut words = PreTokenizedString::from(text);
    split.pre_tokenize(&mut words).map_err(internal)?;
    for (word, _, _) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
        if !word.is_empty() {
            *counts.entry(CompactString::from(word)).or_default() += 1;
        }
    }
    Ok(counts)
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("training: {error}"))
}
