use std::sync::OnceLock;

use tokenizers::{DecoderWrapper, Tokenizer};

use crate::error::{Error, ErrorKind, Result, guard};
use crate::growth;

/// A `tokenizer.json`, run by the `tokenizers` crate.
#[derive(Debug)]
pub struct HuggingFace {
    tokenizer: Tokenizer,
    /// The same, but treating special tokens in the text as text. Made when first asked for.
    literal: OnceLock<Tokenizer>,
    vocab_size: usize,
    /// Whether tokens are byte strings, so that only a cut-off character is ever undecided.
    pub byte_level: bool,
}

impl HuggingFace {
    pub fn parse(bytes: &[u8]) -> Result<HuggingFace> {
        guard(ErrorKind::Format, "tokenizer.json", || {
            growth::check(bytes)?;
            let mut tokenizer = Tokenizer::from_bytes(bytes)
                .map_err(|error| Error::new(ErrorKind::Format, format!("not a tokenizer.json: {error}")))?;
            // Both belong to whoever makes batches; a padded length in a file must not decide what is allocated.
            tokenizer.with_padding(None);
            tokenizer
                .with_truncation(None)
                .map_err(|error| Error::new(ErrorKind::Format, error.to_string()))?;
            HuggingFace::new(tokenizer)
        })
    }

    fn new(tokenizer: Tokenizer) -> Result<HuggingFace> {
        let largest = tokenizer.get_vocab(true).into_values().max();
        let vocab_size = largest.map_or(0, |id| id as usize + 1);
        if vocab_size == 0 || vocab_size > i32::MAX as usize {
            let text = format!("ids must be 0 to {}; the largest is {largest:?}", i32::MAX - 1);
            return Err(Error::new(ErrorKind::Format, text));
        }
        let byte_level = matches!(tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_)));
        Ok(HuggingFace { tokenizer, literal: OnceLock::new(), vocab_size, byte_level })
    }

    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    pub fn find(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    pub fn special_tokens(&self) -> Vec<(u32, String)> {
        let added = self.tokenizer.get_added_tokens_decoder();
        let special = added.into_iter().filter(|(_, token)| token.special);
        let mut tokens: Vec<_> = special.map(|(id, token)| (id, token.content)).collect();
        tokens.sort();
        tokens
    }

    pub fn encode(&self, text: &str, parse_special: bool, template: bool, ids: &mut Vec<u32>) -> Result<()> {
        let tokenizer = if parse_special { &self.tokenizer } else { self.literal() };
        guard(ErrorKind::Format, "tokenizer.json", || {
            let encoding = tokenizer
                .encode_fast(text, template)
                .map_err(|error| Error::new(ErrorKind::Format, format!("cannot encode: {error}")))?;
            ids.extend_from_slice(encoding.get_ids());
            Ok(())
        })
    }

    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        guard(ErrorKind::Format, "tokenizer.json", || {
            self.tokenizer
                .decode(ids, skip_special)
                .map_err(|error| Error::new(ErrorKind::Format, format!("cannot decode: {error}")))
        })
    }

    fn literal(&self) -> &Tokenizer {
        self.literal.get_or_init(|| {
            let mut tokenizer = self.tokenizer.clone();
            tokenizer.set_encode_special_tokens(true);
            tokenizer
        })
    }
}
