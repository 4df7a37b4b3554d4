//! Ids and texts against the reference implementation (sentencepiece 0.2.0).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use elm_text::{EncodeOptions, TokenStream, Tokenizer};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../packages/testing/goldens").join(name)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn streamed(tokenizer: &Arc<Tokenizer>, ids: &[u32]) -> String {
    let mut stream = TokenStream::new(tokenizer.clone(), true);
    let mut text: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    text.push_str(&stream.end().unwrap());
    text
}

#[test]
fn the_tiny_model_equals_the_reference() {
    let strings = strings(&json(&golden("tokenizer-strings.json")));
    let expected = &json(&golden("tokenizer.json"))["tiny"];
    let tokenizer = Arc::new(Tokenizer::load(&golden("tiny-sp.model")).unwrap());
    assert_eq!(tokenizer.vocab_size(), 1024);
    assert_eq!(tokenizer.named_ids(), [Some(1), Some(2), None]);

    let batch = tokenizer.encode_batch(&strings, &EncodeOptions::default()).unwrap();
    for (i, text) in strings.iter().enumerate() {
        assert_eq!(batch[i], ids(&expected["encode"][i]), "{text:?}");
        let differs = expected["decode_of_encode_differs"].get(i.to_string());
        let decoded = differs.map_or(text.as_str(), |other| other.as_str().unwrap());
        assert_eq!(tokenizer.decode(&batch[i], true).unwrap(), decoded);
        assert_eq!(streamed(&tokenizer, &batch[i]), decoded);
    }
    for case in expected["decode"].as_array().unwrap() {
        let ids = ids(&case["ids"]);
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), case["text"].as_str().unwrap(), "{ids:?}");
        assert_eq!(streamed(&tokenizer, &ids), case["text"].as_str().unwrap(), "{ids:?}");
    }
}

/// Slow legacy Hugging Face differs from SentencePiece only by parsing control tokens, as `parse_special` does.
#[test]
fn parsing_special_tokens_equals_the_slow_hugging_face_tokenizer() {
    let strings = strings(&json(&golden("tokenizer-strings.json")));
    let plain = &json(&golden("tokenizer.json"))["tiny"]["encode"];
    let variant = &json(&golden("tokenizer-hf-differences.json"))["variants"]["tiny.slow.legacy"];
    let different = &variant["ids_of_the_different_strings"];
    let tokenizer = Tokenizer::load(&golden("tiny-sp.model")).unwrap();
    let options = EncodeOptions { parse_special: true, ..EncodeOptions::default() };
    for (i, text) in strings.iter().enumerate() {
        let expected = different.get(i.to_string()).unwrap_or(&plain[i]);
        assert_eq!(tokenizer.encode(text, &options).unwrap(), ids(expected), "{i}: {text:?}");
    }
}

/// Unigram models with a rule map, user-defined symbols and byte fallback; BPE with a suffix space; unused pieces.
#[test]
fn other_kinds_of_models_equal_the_reference() {
    let mut strings = strings(&json(&golden("tokenizer-strings.json")));
    let fixtures = json(&fixture("sentencepiece.json"));
    strings.extend(self::strings(&fixtures["extra_strings"]));
    for (name, expected) in fixtures["models"].as_object().unwrap() {
        let tokenizer = match name.as_str() {
            "tiny-unused" => {
                Tokenizer::parse(with_unused_pieces(&std::fs::read(golden("tiny-sp.model")).unwrap()))
                    .unwrap()
            }
            _ => Tokenizer::load(&fixture(&format!("{name}.model"))).unwrap(),
        };
        let tokenizer = Arc::new(tokenizer);
        for (i, text) in strings.iter().enumerate() {
            let found = tokenizer.encode(text, &EncodeOptions::default()).unwrap();
            assert_eq!(found, ids(&expected["encode"][i]), "{name} {i}: {text:?}");
            let decoded = expected["decode"][i].as_str().unwrap();
            assert_eq!(tokenizer.decode(&found, true).unwrap(), decoded, "{name} {i}: {text:?}");
            assert_eq!(streamed(&tokenizer, &found), decoded, "{name} {i}: {text:?}");
        }
    }
}

/// Marks every third piece of more than one character unused: appends `type: 5` to its message.
fn with_unused_pieces(model: &[u8]) -> Vec<u8> {
    let (mut out, mut position, mut id) = (Vec::new(), 0, 0);
    while position < model.len() {
        // Every field of this file is a byte string with a length of one or two bytes.
        let tag = model[position];
        let (mut length, mut start) = (model[position + 1] as usize, position + 2);
        if length >= 0x80 {
            length = (length & 0x7f) | (model[position + 2] as usize) << 7;
            start += 1;
        }
        let field = &model[start..start + length];
        let mut field = field.to_vec();
        if tag == 0x0a {
            let text = std::str::from_utf8(&field[2..2 + field[1] as usize]).unwrap();
            // A piece that states a type (control, byte, …) is not a normal one.
            let normal = field.len() == 2 + field[1] as usize + 5;
            if normal && id % 3 == 0 && text.chars().count() > 1 {
                field.extend([0x18, 5]);
            }
            id += 1;
        }
        out.push(tag);
        if field.len() >= 0x80 {
            out.push((field.len() & 0x7f) as u8 | 0x80);
            out.push((field.len() >> 7) as u8);
        } else {
            out.push(field.len() as u8);
        }
        out.extend(field);
        position = start + length;
    }
    out
}
