use std::collections::HashMap;

use ahash::RandomState;

use crate::error::{Error, ErrorKind, Result};
use crate::prefix_index::PrefixIndex;
use crate::sentencepiece::model::{Algorithm, ModelProto, Piece, PieceType};
use crate::sentencepiece::normalizer::SPACE;

type Ids = HashMap<String, u32, RandomState>;

/// The pieces of a model, by id and by text.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    pieces: Vec<Piece>,
    /// Pieces that text can be cut into.
    normal: Ids,
    /// Control, unknown and byte pieces: found by name, never made by cutting.
    reserved: Ids,
    longest: usize,
    /// Id of the piece of each byte; all there exactly when the model falls back to bytes.
    pub bytes: Option<Box<[u32; 256]>>,
    byte_of: HashMap<u32, u8>,
    pub user_defined: PrefixIndex,
    /// Whether no piece has a space behind another character, and none is unused (those are taken apart as the last
    /// place in the text put them together).
    pub words_are_apart: bool,
    /// All normal pieces, for unigram models only.
    pub pieces_index: PrefixIndex,
    pub unknown: u32,
    pub min_score: f32,
    pub max_score: f32,
}

impl Vocabulary {
    pub fn new(model: &ModelProto) -> Result<Vocabulary> {
        let fail = |text: String| Err(Error::new(ErrorKind::Format, text));
        let pieces = &model.pieces;
        if pieces.len() > i32::MAX as usize {
            return fail("more pieces than ids".into());
        }
        let (mut normal, mut reserved) = (Ids::default(), Ids::default());
        let mut unknown = None;
        let mut byte_of = HashMap::new();
        for (id, piece) in (0..).zip(pieces) {
            let ids = match piece.kind {
                PieceType::Normal | PieceType::UserDefined | PieceType::Unused => &mut normal,
                _ => &mut reserved,
            };
            if ids.insert(piece.text.clone(), id).is_some() {
                return fail(format!("piece {:?} (id {id}) is defined twice", piece.text));
            }
            match piece.kind {
                PieceType::Unknown if unknown.is_some() => {
                    return fail(format!("a second unknown piece (id {id})"));
                }
                PieceType::Unknown => unknown = Some(id),
                PieceType::Byte => match parse_byte(&piece.text) {
                    Some(byte) => drop(byte_of.insert(id, byte)),
                    None => return fail(format!("byte piece {id} is called {:?}", piece.text)),
                },
                _ => {}
            }
        }
        let Some(unknown) = unknown else { return fail("the model has no unknown piece".into()) };
        let bytes = if model.byte_fallback { Some(byte_table(&byte_of)?) } else { None };

        let of_kind = |wanted: &'static [PieceType]| {
            let chosen = (0..).zip(pieces).filter(|(_, piece)| wanted.contains(&piece.kind));
            PrefixIndex::new(chosen.map(|(id, piece): (u32, _)| (piece.text.as_bytes().into(), id)))
        };
        let scores = pieces.iter().filter(|piece| piece.kind == PieceType::Normal).map(|piece| piece.score);
        Ok(Vocabulary {
            longest: normal.keys().map(String::len).max().unwrap_or(0),
            words_are_apart: !normal.keys().any(|piece| piece.trim_start_matches(SPACE).contains(SPACE))
                && !pieces.iter().any(|piece| piece.kind == PieceType::Unused),
            user_defined: of_kind(&[PieceType::UserDefined]),
            pieces_index: match model.algorithm {
                Algorithm::Unigram => {
                    of_kind(&[PieceType::Normal, PieceType::UserDefined, PieceType::Unused])
                }
                Algorithm::Bpe => PrefixIndex::default(),
            },
            min_score: scores.clone().fold(f32::MAX, f32::min),
            max_score: scores.fold(f32::MIN, f32::max),
            pieces: pieces.clone(),
            normal,
            reserved,
            bytes,
            byte_of,
            unknown,
        })
    }

    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    pub fn piece(&self, id: u32) -> Option<&Piece> {
        self.pieces.get(id as usize)
    }

    pub fn pieces(&self) -> impl Iterator<Item = (u32, &Piece)> {
        (0..).zip(&self.pieces)
    }

    /// The id of a piece of any type; the unknown id for what is none.
    pub fn id(&self, piece: &str) -> u32 {
        self.find(piece).unwrap_or(self.unknown)
    }

    pub fn find(&self, piece: &str) -> Option<u32> {
        self.reserved.get(piece).or_else(|| self.normal.get(piece)).copied()
    }

    /// The id of a piece that cutting may make.
    pub fn mergeable(&self, piece: &str) -> Option<u32> {
        if piece.len() > self.longest { None } else { self.normal.get(piece).copied() }
    }

    pub fn score(&self, id: u32) -> f32 {
        self.pieces[id as usize].score
    }

    pub fn is_unused(&self, id: u32) -> bool {
        self.pieces[id as usize].kind == PieceType::Unused
    }

    pub fn is_user_defined(&self, id: u32) -> bool {
        self.pieces[id as usize].kind == PieceType::UserDefined
    }

    /// The byte that a byte piece stands for.
    pub fn byte(&self, id: u32) -> Option<u8> {
        self.byte_of.get(&id).copied()
    }
}

/// `<0x41>` is the byte 0x41.
fn parse_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let canonical =
        digits.len() == 2 && digits.bytes().all(|c| c.is_ascii_digit() || (b'A'..=b'F').contains(&c));
    if canonical { u8::from_str_radix(digits, 16).ok() } else { None }
}

fn byte_table(byte_of: &HashMap<u32, u8>) -> Result<Box<[u32; 256]>> {
    let mut table = Box::new([u32::MAX; 256]);
    for (&id, &byte) in byte_of {
        table[byte as usize] = id;
    }
    match table.iter().position(|&id| id == u32::MAX) {
        None => Ok(table),
        Some(byte) => {
            let text = format!("the model falls back to bytes, but has no piece <0x{byte:02X}>");
            Err(Error::new(ErrorKind::Format, text))
        }
    }
}
