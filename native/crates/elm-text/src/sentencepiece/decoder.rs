use crate::sentencepiece::SentencePiece;
use crate::sentencepiece::model::PieceType;
use crate::sentencepiece::normalizer::SPACE;

/// Turns ids into text one by one; the concatenation equals decoding them all at once.
///
/// Byte pieces wait until they make up a character. A byte that cannot belong to one becomes U+FFFD by itself, as
/// in SentencePiece (which is not the rule of Unicode's "maximal subpart").
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
    /// The space that the encoder put in front has been taken away, or text has been written.
    started: bool,
}

impl Decoder {
    /// Appends to `out` what `id` makes certain. `id` must be inside the vocabulary.
    pub fn push(&mut self, model: &SentencePiece, id: u32, out: &mut String) {
        if let Some(byte) = model.vocabulary.byte(id) {
            self.pending.push(byte);
            let before = out.len();
            self.drain(out, false);
            self.started |= out.len() > before;
            return;
        }
        self.finish(out);
        let Some(piece) = model.vocabulary.piece(id) else { return };
        match piece.kind {
            PieceType::Control => {}
            PieceType::Unknown => {
                out.push_str(&model.unknown_surface);
                self.started |= !model.unknown_surface.is_empty();
            }
            _ => {
                let mut text = piece.text.as_str();
                if !self.started
                    && model.strips_first_space()
                    && let Some(rest) = text.strip_prefix(SPACE)
                {
                    text = rest;
                    // With extra spaces removed, all leading ones go, not the first alone.
                    self.started = !model.normalizer.remove_extra_whitespaces;
                }
                self.started |= !text.is_empty();
                push_unescaped(text, out);
            }
        }
    }

    /// Appends what the bytes left over become when nothing follows them.
    pub fn finish(&mut self, out: &mut String) {
        self.started |= !self.pending.is_empty();
        self.drain(out, true);
    }

    fn drain(&mut self, out: &mut String, last: bool) {
        let mut used = 0;
        while used < self.pending.len() {
            let rest = &self.pending[used..];
            match std::str::from_utf8(&rest[..rest.len().min(4)]) {
                Ok(text) => {
                    out.push_str(text);
                    used += text.len();
                }
                Err(error) if error.valid_up_to() > 0 => {
                    out.push_str(std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default());
                    used += error.valid_up_to();
                }
                // A character may still come of these.
                Err(error) if error.error_len().is_none() && rest.len() < 4 && !last => break,
                Err(_) => {
                    out.push(char::REPLACEMENT_CHARACTER);
                    used += 1;
                }
            }
        }
        self.pending.drain(..used);
    }
}

fn push_unescaped(text: &str, out: &mut String) {
    for (i, part) in text.split(SPACE).enumerate() {
        if i > 0 {
            out.push(' ');
        }
        out.push_str(part);
    }
}
