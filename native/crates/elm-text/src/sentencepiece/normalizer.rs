use crate::error::Result;
use crate::prefix_index::PrefixIndex;
use crate::sentencepiece::charsmap::Charsmap;
use crate::sentencepiece::model::ModelProto;

/// The visible blank U+2581 that stands for a space inside pieces.
pub const SPACE: &str = "\u{2581}";

/// Rewrites text as the model's trainer did: rule map, whitespace, the space in front of the first word.
#[derive(Clone, Debug)]
pub struct Normalizer {
    charsmap: Option<Charsmap>,
    pub add_dummy_prefix: bool,
    pub remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    whitespace_suffix: bool,
}

impl Normalizer {
    pub fn new(model: &ModelProto) -> Result<Normalizer> {
        let charsmap = if model.charsmap.is_empty() { None } else { Some(Charsmap::parse(&model.charsmap)?) };
        Ok(Normalizer {
            charsmap,
            add_dummy_prefix: model.add_dummy_prefix,
            remove_extra_whitespaces: model.remove_extra_whitespaces,
            escape_whitespaces: model.escape_whitespaces,
            whitespace_suffix: model.whitespace_suffix,
        })
    }

    /// `user_defined` symbols are copied as they stand.
    pub fn normalize(&self, text: &str, user_defined: &PrefixIndex) -> String {
        let mut rest = text;
        if self.remove_extra_whitespaces {
            while !rest.is_empty() {
                let (part, length) = self.next_part(rest, user_defined);
                if part != " " {
                    break;
                }
                rest = &rest[length..];
            }
        }
        let mut out = String::with_capacity(text.len() + text.len() / 2 + 3);
        if rest.is_empty() {
            return out;
        }
        let space = if self.escape_whitespaces { SPACE } else { " " };
        if self.add_dummy_prefix && !self.whitespace_suffix {
            out.push_str(space);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while !rest.is_empty() {
            let (part, length) = self.next_part(rest, user_defined);
            let part = if after_space { part.trim_start_matches(' ') } else { part };
            if !part.is_empty() {
                for (i, piece) in part.split(' ').enumerate() {
                    if i > 0 {
                        out.push_str(space);
                    }
                    out.push_str(piece);
                }
                after_space = self.remove_extra_whitespaces && part.ends_with(' ');
            }
            rest = &rest[length..];
        }
        if self.remove_extra_whitespaces {
            while out.ends_with(space) {
                out.truncate(out.len() - space.len());
            }
        }
        if self.add_dummy_prefix && self.whitespace_suffix {
            out.push_str(space);
        }
        out
    }

    /// What the front of `text` becomes, and how many bytes of `text` that uses (a whole number of characters).
    fn next_part<'a>(&'a self, text: &'a str, user_defined: &PrefixIndex) -> (&'a str, usize) {
        if let Some((length, _)) = user_defined.longest(text.as_bytes()) {
            return (&text[..length], length);
        }
        let rule = self.charsmap.as_ref().and_then(|map| map.longest(text.as_bytes()));
        if let Some((length, replacement)) = rule
            && text.is_char_boundary(length)
        {
            return (replacement, length);
        }
        let length = text.chars().next().map_or(0, char::len_utf8);
        (&text[..length], length)
    }
}
