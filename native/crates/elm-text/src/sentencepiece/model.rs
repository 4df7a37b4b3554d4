use crate::error::{Error, ErrorKind, Result};
use crate::protobuf::{Fields, Value};

/// What a piece is for (`ModelProto.SentencePiece.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceType {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

#[derive(Clone, Debug)]
pub struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: PieceType,
}

/// How a model cuts text (`TrainerSpec.ModelType`); words and characters are not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Unigram,
    Bpe,
}

/// The parts of a `.model` file that encoding and decoding need, with SentencePiece's defaults.
///
/// Fields: <https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto>
#[derive(Clone, Debug)]
pub struct ModelProto {
    pub pieces: Vec<Piece>,
    pub algorithm: Algorithm,
    pub byte_fallback: bool,
    pub whitespace_suffix: bool,
    pub unknown_surface: String,
    pub bos_piece: String,
    pub eos_piece: String,
    pub pad_piece: String,
    pub charsmap: Vec<u8>,
    pub add_dummy_prefix: bool,
    pub remove_extra_whitespaces: bool,
    pub escape_whitespaces: bool,
}

impl ModelProto {
    pub fn parse(bytes: &[u8]) -> Result<ModelProto> {
        let mut model = ModelProto {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            whitespace_suffix: false,
            unknown_surface: " \u{2047} ".into(),
            bos_piece: "<s>".into(),
            eos_piece: "</s>".into(),
            pad_piece: "<pad>".into(),
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        };
        let mut fields = Fields::new(bytes, 0);
        while let Some((number, value, start)) = fields.next_field()? {
            match (number, value) {
                (1, Value::Bytes(piece)) => model.pieces.push(parse_piece(Fields::new(piece, start))?),
                (2, Value::Bytes(spec)) => model.read_trainer(Fields::new(spec, start))?,
                (3, Value::Bytes(spec)) => model.read_normalizer(Fields::new(spec, start))?,
                (5, Value::Bytes(spec)) => refuse_denormalizer(Fields::new(spec, start))?,
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err(Error::new(ErrorKind::Format, "not a SentencePiece model: it has no pieces"));
        }
        Ok(model)
    }

    fn read_trainer(&mut self, mut fields: Fields) -> Result<()> {
        while let Some((number, value, start)) = fields.next_field()? {
            match (number, value) {
                (3, Value::Varint(1)) => self.algorithm = Algorithm::Unigram,
                (3, Value::Varint(2)) => self.algorithm = Algorithm::Bpe,
                (3, Value::Varint(other)) => {
                    let name = ["", "", "", "word", "char"].get(other as usize).unwrap_or(&"unknown");
                    let text = format!(
                        "model type {other} ({name}) at byte {start}: only unigram and bpe are supported"
                    );
                    return Err(Error::new(ErrorKind::Format, text));
                }
                (24, Value::Varint(flag)) => self.whitespace_suffix = flag != 0,
                (35, Value::Varint(flag)) => self.byte_fallback = flag != 0,
                (44, Value::Bytes(text)) => self.unknown_surface = utf8(text, start)?,
                (46, Value::Bytes(text)) => self.bos_piece = utf8(text, start)?,
                (47, Value::Bytes(text)) => self.eos_piece = utf8(text, start)?,
                (48, Value::Bytes(text)) => self.pad_piece = utf8(text, start)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, mut fields: Fields) -> Result<()> {
        while let Some((number, value, _)) = fields.next_field()? {
            match (number, value) {
                (2, Value::Bytes(map)) => self.charsmap = map.to_vec(),
                (3, Value::Varint(flag)) => self.add_dummy_prefix = flag != 0,
                (4, Value::Varint(flag)) => self.remove_extra_whitespaces = flag != 0,
                (5, Value::Varint(flag)) => self.escape_whitespaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A denormalizer rewrites decoded text; no published language model has one.
fn refuse_denormalizer(mut fields: Fields) -> Result<()> {
    while let Some((number, value, _)) = fields.next_field()? {
        if let (2, Value::Bytes(map)) = (number, value)
            && !map.is_empty()
        {
            return Err(fields.error("a denormalizer map, which is not supported,"));
        }
    }
    Ok(())
}

fn parse_piece(mut fields: Fields) -> Result<Piece> {
    let begin = fields.offset();
    let mut piece = Piece { text: String::new(), score: 0.0, kind: PieceType::Normal };
    while let Some((number, value, start)) = fields.next_field()? {
        match (number, value) {
            (1, Value::Bytes(text)) => piece.text = utf8(text, start)?,
            (2, Value::Fixed32(bits)) => piece.score = f32::from_bits(bits),
            (3, Value::Varint(kind)) => {
                piece.kind = match kind {
                    1 => PieceType::Normal,
                    2 => PieceType::Unknown,
                    3 => PieceType::Control,
                    4 => PieceType::UserDefined,
                    5 => PieceType::Unused,
                    6 => PieceType::Byte,
                    _ => return Err(fields.error(&format!("a piece of unknown type {kind}"))),
                }
            }
            _ => {}
        }
    }
    if piece.text.is_empty() || piece.score.is_nan() {
        let what = if piece.text.is_empty() { "an empty piece" } else { "a score that is not a number" };
        return Err(Error::new(ErrorKind::Format, format!("{what} at byte {begin}")));
    }
    Ok(piece)
}

fn utf8(bytes: &[u8], start: usize) -> Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let offset = start + error.valid_up_to();
        Error::new(ErrorKind::Format, format!("text that is not UTF-8 at byte {offset}"))
    })?;
    Ok(text.to_owned())
}
