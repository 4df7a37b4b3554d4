use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use elm_text::Result;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};

use super::lines::LineReader;
use super::stream::Stream;
use super::{ReaderOptions, Source};

/// One JSON object a line; the document is the string under one key. Blank lines are none.
pub struct JsonLines {
    lines: LineReader,
    key: String,
}

impl JsonLines {
    pub fn new(stream: Stream, path: &Path, options: &ReaderOptions) -> JsonLines {
        // A line holds the text escaped and other keys beside it.
        let limit = options.max_document_bytes.saturating_mul(2);
        JsonLines { lines: LineReader::new(stream, path, limit), key: options.text_key.clone() }
    }
}

impl Source for JsonLines {
    fn next(&mut self) -> Result<Option<String>> {
        loop {
            let Some(line) = self.lines.next()? else { return Ok(None) };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let mut json = serde_json::Deserializer::from_slice(line);
            let text = TextUnder(&self.key).deserialize(&mut json).and_then(|text| json.end().map(|()| text));
            return match text {
                Ok(text) => Ok(Some(text)),
                // serde_json counts lines too: this one is its first.
                Err(error) => {
                    let message = error.to_string();
                    let message = message.split(" at line 1").next().unwrap_or(&message);
                    Err(self.lines.error(format_args!("column {}: {message}", error.column())))
                }
            };
        }
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        let mut left = count;
        while left > 0 {
            match self.lines.next()? {
                None => break,
                Some(line) => left -= u64::from(!line.iter().all(u8::is_ascii_whitespace)),
            }
        }
        Ok(())
    }
}

/// Takes the text out of an object and builds nothing of the rest.
struct TextUnder<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for TextUnder<'_> {
    type Value = String;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<String, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TextUnder<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "an object with a string under {:?}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<String, A::Error> {
        let mut text: Option<Option<String>> = None;
        while let Some(key) = map.next_key::<Cow<str>>()? {
            if key == self.0 {
                text = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        // A null is a row without text.
        text.map(Option::unwrap_or_default).ok_or_else(|| A::Error::custom(format!("no key {:?}", self.0)))
    }
}
