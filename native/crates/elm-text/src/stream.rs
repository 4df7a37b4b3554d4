use std::sync::Arc;

use crate::error::Result;
use crate::hugging_face::HuggingFace;
use crate::sentencepiece::Decoder;
use crate::tokenizer::{Model, Tokenizer};

/// Ids that may wait for a character before what they are is written as it stands. The longest character has four
/// bytes; a tokenizer that is not byte-level may spend ids on blanks between.
const MAX_PENDING: usize = 8;

/// Turns ids into text as they come, never splitting a character.
///
/// For SentencePiece models and byte-level `tokenizer.json` the parts joined equal the text of all ids at once.
pub struct TokenStream {
    tokenizer: Arc<Tokenizer>,
    skip_special: bool,
    decoder: Decoder,
    window: Window,
}

impl TokenStream {
    pub fn new(tokenizer: Arc<Tokenizer>, skip_special: bool) -> TokenStream {
        TokenStream { tokenizer, skip_special, decoder: Decoder::default(), window: Window::default() }
    }

    /// The text that `id` completes, which may be empty.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.tokenizer.check(id)?;
        match &self.tokenizer.model {
            Model::SentencePiece(model) => {
                let mut text = String::new();
                self.decoder.push(model, id, &mut text);
                Ok(text)
            }
            Model::HuggingFace(model) => self.window.push(model, id, self.skip_special),
        }
    }

    /// What is left when no more ids come; a character that was cut off becomes U+FFFD. The stream can be used anew.
    pub fn end(&mut self) -> Result<String> {
        match &self.tokenizer.model {
            Model::SentencePiece(_) => {
                let mut text = String::new();
                std::mem::take(&mut self.decoder).finish(&mut text);
                Ok(text)
            }
            Model::HuggingFace(model) => std::mem::take(&mut self.window).end(model, self.skip_special),
        }
    }
}

/// The last ids, decoded again with each new one: decoders of `tokenizer.json` look at neighbours (a space in front
/// of the first word, bytes that make up a character), so a token has no text of its own.
#[derive(Default)]
struct Window {
    ids: Vec<u32>,
    /// How many of `ids` are context: their text has been written.
    context: usize,
    /// Bytes of the window's text that have been written.
    written: usize,
}

impl Window {
    fn push(&mut self, model: &HuggingFace, id: u32, skip_special: bool) -> Result<String> {
        self.ids.push(id);
        let text = model.decode(&self.ids, skip_special)?;
        let settled = if model.byte_level {
            // Only the end of the bytes can be undecided, and it shows as one U+FFFD.
            text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(&text).len()
        } else if text.ends_with(char::REPLACEMENT_CHARACTER) && self.ids.len() - self.context < MAX_PENDING {
            self.written
        } else {
            text.len()
        };
        let part = text.get(self.written..settled).unwrap_or("").to_owned();
        self.written = self.written.max(settled);
        if self.written == text.len() && !part.is_empty() {
            self.forget(model, skip_special)?;
        }
        Ok(part)
    }

    /// Drops the context, now that later ids have become one.
    fn forget(&mut self, model: &HuggingFace, skip_special: bool) -> Result<()> {
        self.ids.drain(..self.context);
        self.context = self.ids.len();
        self.written = model.decode(&self.ids, skip_special)?.len();
        Ok(())
    }

    fn end(self, model: &HuggingFace, skip_special: bool) -> Result<String> {
        let text = model.decode(&self.ids, skip_special)?;
        Ok(text.get(self.written..).unwrap_or("").to_owned())
    }
}
