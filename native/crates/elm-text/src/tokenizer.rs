use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::hugging_face::HuggingFace;
use crate::pool::pool;
use crate::sentencepiece::SentencePiece;

/// No tokenizer file comes near this; a data file given by mistake does.
const MAX_FILE: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenizerKind {
    HuggingFace,
    SentencePiece,
}

impl TokenizerKind {
    /// The file name that other programs look for in a model's folder.
    pub const fn file_name(self) -> &'static str {
        match self {
            TokenizerKind::HuggingFace => "tokenizer.json",
            TokenizerKind::SentencePiece => "tokenizer.model",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct EncodeOptions {
    /// An id to put before the text (a beginning-of-text token).
    pub prefix: Option<u32>,
    /// An id to put after the text (an end-of-text token).
    pub suffix: Option<u32>,
    /// Turn special tokens written in the text into their ids. Off, they are text: a document cannot forge them.
    pub parse_special: bool,
    /// Apply the file's own template (`post_processor`); a SentencePiece model has none.
    pub template: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialToken {
    pub id: u32,
    pub text: String,
}

#[derive(Debug)]
pub(crate) enum Model {
    HuggingFace(Box<HuggingFace>),
    SentencePiece(Box<SentencePiece>),
}

/// A tokenizer of either kind, with the bytes it was made from.
#[derive(Debug)]
pub struct Tokenizer {
    pub(crate) model: Model,
    source: Vec<u8>,
    sha256: String,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` or a SentencePiece model, told apart by what is inside.
    pub fn load(path: &Path) -> Result<Tokenizer> {
        let failed = |error: std::io::Error| Error::file(path, "read", &error);
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > MAX_FILE {
            return Err(Error::format(path, format_args!("{size} bytes is too much for a tokenizer")));
        }
        Tokenizer::parse(std::fs::read(path).map_err(failed)?).map_err(|error| error.at(path))
    }

    /// As [`Tokenizer::load`], from bytes. JSON starts with a brace, a model with the tag of its first piece.
    pub fn parse(source: Vec<u8>) -> Result<Tokenizer> {
        let text = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&source);
        let model = match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => return Err(Error::new(ErrorKind::Format, "the file is empty")),
            Some(b'{') => Model::HuggingFace(Box::new(HuggingFace::parse(text)?)),
            Some(_) => Model::SentencePiece(Box::new(SentencePiece::parse(&source)?)),
        };
        let sha256 = Sha256::digest(&source).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Tokenizer { model, source, sha256 })
    }

    pub fn kind(&self) -> TokenizerKind {
        match self.model {
            Model::HuggingFace(_) => TokenizerKind::HuggingFace,
            Model::SentencePiece(_) => TokenizerKind::SentencePiece,
        }
    }

    /// The file's bytes, as they were read.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// SHA-256 of [`Tokenizer::source`], in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        match &self.model {
            Model::HuggingFace(model) => model.vocab_size(),
            Model::SentencePiece(model) => model.vocab_size(),
        }
    }

    pub fn token(&self, id: u32) -> Option<String> {
        match &self.model {
            Model::HuggingFace(model) => model.token(id),
            Model::SentencePiece(model) => model.token(id).map(str::to_owned),
        }
    }

    pub fn find(&self, token: &str) -> Option<u32> {
        match &self.model {
            Model::HuggingFace(model) => model.find(token),
            Model::SentencePiece(model) => model.find(token),
        }
    }

    pub fn special_tokens(&self) -> Vec<SpecialToken> {
        match &self.model {
            Model::HuggingFace(model) => {
                model.special_tokens().into_iter().map(|(id, text)| SpecialToken { id, text }).collect()
            }
            Model::SentencePiece(model) => {
                model.special_tokens().map(|(id, text)| SpecialToken { id, text: text.to_owned() }).collect()
            }
        }
    }

    /// Beginning, end and padding as the file itself names them; `tokenizer.json` names none.
    pub fn named_ids(&self) -> [Option<u32>; 3] {
        match &self.model {
            Model::HuggingFace(_) => [None; 3],
            Model::SentencePiece(model) => [model.bos, model.eos, model.pad],
        }
    }

    pub fn encode(&self, text: &str, options: &EncodeOptions) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        ids.extend(options.prefix);
        match &self.model {
            Model::HuggingFace(model) => {
                model.encode(text, options.parse_special, options.template, &mut ids)?
            }
            Model::SentencePiece(model) => model.encode(text, options.parse_special, &mut ids),
        }
        ids.extend(options.suffix);
        Ok(ids)
    }

    /// Encodes every text, in parallel; the result does not depend on the number of threads.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
    ) -> Result<Vec<Vec<u32>>> {
        pool().install(|| texts.par_iter().map(|text| self.encode(text.as_ref(), options)).collect())
    }

    /// The text of `ids`. Special tokens are left out with `skip_special`; a SentencePiece model never writes
    /// its control pieces.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        ids.iter().try_for_each(|&id| self.check(id))?;
        match &self.model {
            Model::HuggingFace(model) => model.decode(ids, skip_special),
            Model::SentencePiece(model) => {
                let (mut decoder, mut text) = (crate::sentencepiece::Decoder::default(), String::new());
                ids.iter().for_each(|&id| decoder.push(model, id, &mut text));
                decoder.finish(&mut text);
                Ok(text)
            }
        }
    }

    pub(crate) fn check(&self, id: u32) -> Result<()> {
        if (id as usize) < self.vocab_size() {
            return Ok(());
        }
        Err(Error::argument(format!("id {id} is outside the vocabulary of {}", self.vocab_size())))
    }
}
