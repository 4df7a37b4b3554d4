//! SentencePiece models (`.model`): BPE and unigram, with byte fallback.

mod bpe;
mod charsmap;
mod decoder;
mod model;
mod normalizer;
mod unigram;
mod vocabulary;

pub use decoder::Decoder;

use crate::error::Result;
use crate::prefix_index::PrefixIndex;
use model::{Algorithm, ModelProto, PieceType};
use normalizer::Normalizer;
use vocabulary::Vocabulary;

/// A SentencePiece model, ready to encode and decode as the reference implementation does.
#[derive(Clone, Debug)]
pub struct SentencePiece {
    algorithm: Algorithm,
    vocabulary: Vocabulary,
    normalizer: Normalizer,
    unknown_surface: String,
    /// Pieces that are parsed out of text only on request.
    special: PrefixIndex,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub pad: Option<u32>,
}

impl SentencePiece {
    pub fn parse(bytes: &[u8]) -> Result<SentencePiece> {
        let model = ModelProto::parse(bytes)?;
        let vocabulary = Vocabulary::new(&model)?;
        let special = vocabulary
            .pieces()
            .filter(|(_, piece)| matches!(piece.kind, PieceType::Control | PieceType::Unknown))
            .map(|(id, piece)| (piece.text.as_bytes().into(), id));
        let control = |name: &str| {
            let is_control =
                |&id: &u32| vocabulary.piece(id).is_some_and(|piece| piece.kind == PieceType::Control);
            vocabulary.find(name).filter(is_control)
        };
        Ok(SentencePiece {
            algorithm: model.algorithm,
            normalizer: Normalizer::new(&model)?,
            special: PrefixIndex::new(special),
            bos: control(&model.bos_piece),
            eos: control(&model.eos_piece),
            pad: control(&model.pad_piece),
            unknown_surface: model.unknown_surface,
            vocabulary,
        })
    }

    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    pub fn token(&self, id: u32) -> Option<&str> {
        self.vocabulary.piece(id).map(|piece| piece.text.as_str())
    }

    pub fn find(&self, token: &str) -> Option<u32> {
        self.vocabulary.find(token)
    }

    /// Control and unknown pieces.
    pub fn special_tokens(&self) -> impl Iterator<Item = (u32, &str)> {
        let special = |kind| matches!(kind, PieceType::Control | PieceType::Unknown);
        self.vocabulary
            .pieces()
            .filter(move |(_, piece)| special(piece.kind))
            .map(|(id, piece)| (id, piece.text.as_str()))
    }

    /// Appends the ids of `text`.
    ///
    /// With `parse_special`, control pieces written in the text become their ids and each stretch between is
    /// encoded by itself; without, they are text like any other, which is SentencePiece's own behaviour.
    pub fn encode(&self, text: &str, parse_special: bool, ids: &mut Vec<u32>) {
        if !parse_special || self.special.is_empty() {
            return self.encode_plain(text, ids);
        }
        let (mut plain, mut position) = (0, 0);
        while position < text.len() {
            match self.special.longest(&text.as_bytes()[position..]) {
                Some((length, id)) => {
                    self.encode_plain(&text[plain..position], ids);
                    ids.push(id);
                    position += length;
                    plain = position;
                }
                None => position += text[position..].chars().next().map_or(1, char::len_utf8),
            }
        }
        self.encode_plain(&text[plain..], ids);
    }

    fn encode_plain(&self, text: &str, ids: &mut Vec<u32>) {
        let normalized = self.normalizer.normalize(text, &self.vocabulary.user_defined);
        let unknown = self.vocabulary.unknown;
        let mut after_unknown = false;
        let mut emit = |piece: &str, id: u32| {
            match &self.vocabulary.bytes {
                Some(table) if id == unknown => {
                    ids.extend(piece.bytes().map(|byte| table[byte as usize]));
                }
                // A run of unknown characters is one unknown.
                _ if id == unknown && after_unknown => {}
                _ => ids.push(id),
            }
            after_unknown = id == unknown;
        };
        match self.algorithm {
            Algorithm::Bpe => bpe::encode(&self.vocabulary, &normalized, &mut emit),
            Algorithm::Unigram => unigram::encode(&self.vocabulary, &normalized, &mut emit),
        }
    }

    fn strips_first_space(&self) -> bool {
        self.normalizer.add_dummy_prefix || self.normalizer.remove_extra_whitespaces
    }
}
