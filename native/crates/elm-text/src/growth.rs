//! How much longer a `tokenizer.json` may make a text, told before any text meets it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// Stages that rewrite text one after another multiply what they do: a thousand that double it never come to an end.
/// Published tokenizers stay below a hundred.
const MAX_GROWTH: f64 = 4096.0;

/// Stages in all; each goes over the whole text.
const MAX_STAGES: usize = 256;

/// An error if the stages of a file could make a text longer by more than any real tokenizer does.
///
/// Files that are no JSON pass: their reader says what is wrong with them.
pub fn check(bytes: &[u8]) -> Result<()> {
    let Ok(Stages { before, after }) = serde_json::from_slice(bytes) else { return Ok(()) };
    for Growth { factor, stages } in [before, after] {
        if factor > MAX_GROWTH || stages > MAX_STAGES {
            let text = format!(
                "{stages} stages could make a text {factor:.0} times as long; at most {MAX_STAGES} and {MAX_GROWTH:.0} are run"
            );
            return Err(Error::new(ErrorKind::Format, text));
        }
    }
    Ok(())
}

/// What rewrites text on its way to ids, and on its way back.
struct Stages {
    before: Growth,
    after: Growth,
}

impl<'de> Deserialize<'de> for Stages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Stages, D::Error> {
        deserializer.deserialize_map(StagesVisitor)
    }
}

struct StagesVisitor;

impl<'de> Visitor<'de> for StagesVisitor {
    type Value = Stages;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    /// Every occurrence of a key counts, because which one the reader takes is its own affair. The vocabulary, which is most
    /// of a file, is skipped.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Stages, A::Error> {
        let mut stages = Stages { before: Growth::NONE, after: Growth::NONE };
        while let Some(key) = map.next_key::<String>()? {
            let part = match key.as_str() {
                "normalizer" | "pre_tokenizer" => &mut stages.before,
                "decoder" => &mut stages.after,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *part = part.then(&Growth::of(&map.next_value::<Value>()?));
        }
        Ok(stages)
    }
}

struct Growth {
    factor: f64,
    stages: usize,
}

impl Growth {
    const NONE: Growth = Growth { factor: 1.0, stages: 0 };

    fn then(&self, next: &Growth) -> Growth {
        Growth { factor: self.factor * next.factor, stages: self.stages + next.stages }
    }

    /// Of a stage, or of a sequence of them, whatever its kind calls the list. Old files name no types, so that the fields
    /// tell what a stage does.
    fn of(stage: &Value) -> Growth {
        let Value::Object(fields) = stage else { return Growth::NONE };
        let length = |key: &str| fields.get(key).and_then(Value::as_str).map_or(0, str::len) as f64;
        let has = |key: &str| fields.contains_key(key);
        let own = if has("pattern") && has("content") {
            let pattern = fields["pattern"].get("String").and_then(Value::as_str);
            // An expression may match nothing, before every character and at the end.
            let nothing = f64::from(u8::from(pattern.is_none()));
            (length("content") / pattern.map_or(1, str::len).max(1) as f64).max(1.0) + nothing
        } else if has("trim_offsets")
            || matches!(fields.get("type"), Some(Value::String(t)) if t == "ByteLevel")
        {
            // A byte becomes a character of up to two.
            2.0
        } else if has("precompiled_charsmap") {
            32.0
        } else {
            // Both stand before a text or a word, which has a byte at least.
            1.0 + length("prepend") + length("replacement")
        };
        let inner = fields.values().filter_map(Value::as_array).flatten();
        inner.map(Growth::of).fold(Growth { factor: own, stages: 1 }, |all, next| all.then(&next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(normalizer: &str, pre_tokenizer: &str, decoder: &str) -> Vec<u8> {
        format!(
            r#"{{"normalizer":{normalizer},"pre_tokenizer":{pre_tokenizer},"decoder":{decoder},"model":{{"vocab":{{"a":0}}}}}}"#
        )
        .into_bytes()
    }

    fn sequence(list: &str, stage: &str, count: usize) -> String {
        format!(r#"{{"type":"Sequence","{list}":[{}]}}"#, vec![stage; count].join(","))
    }

    #[test]
    fn usual_tokenizers_pass() {
        let llama = r#"{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}"#;
        let decoder = r#"{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"}]}"#;
        assert!(check(&file(llama, "null", decoder)).is_ok());
        let bytes = r#"{"type":"ByteLevel","add_prefix_space":false}"#;
        assert!(check(&file(r#"{"type":"NFKC"}"#, &sequence("pretokenizers", bytes, 2), bytes)).is_ok());
        assert!(check(b"{").is_ok() && check(b"[]").is_ok());
    }

    #[test]
    fn stages_that_multiply_are_refused() {
        let bytes = r#"{"type":"ByteLevel"}"#;
        let replace = r#"{"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaa"}"#;
        let long =
            format!(r#"{{"type":"Replace","pattern":{{"Regex":"."}},"content":"{}"}}"#, "a".repeat(5000));
        for (normalizer, pre_tokenizer, decoder) in [
            ("null".into(), sequence("pretokenizers", bytes, 1000), "null".into()),
            (sequence("normalizers", replace, 4), "null".into(), "null".into()),
            (sequence("normalizers", bytes, 10), sequence("pretokenizers", bytes, 10), "null".into()),
            ("null".into(), "null".into(), sequence("decoders", replace, 12)),
            (long, "null".into(), "null".into()),
            (sequence("normalizers", r#"{"type":"Lowercase"}"#, 1000), "null".into(), "null".into()),
            (
                "null".into(),
                sequence("pretokenizers", r#"{"add_prefix_space":true,"trim_offsets":true}"#, 20),
                "null".into(),
            ),
            // The reader may keep the first of two.
            (
                "null".into(),
                format!(r#"{},"pre_tokenizer":null"#, sequence("pretokenizers", bytes, 20)),
                "null".into(),
            ),
            // A sequence in a sequence counts as its stages do.
            (sequence("normalizers", &sequence("normalizers", replace, 2), 2), "null".into(), "null".into()),
        ] {
            let error = check(&file(&normalizer, &pre_tokenizer, &decoder)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Format);
        }
    }
}
