//! Files that lie: every one is an error that names the file, none a panic.

use std::path::Path;

use elm_text::{EncodeOptions, ErrorKind, Tokenizer};

fn tiny() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../packages/testing/goldens/tiny-sp.model");
    std::fs::read(path).unwrap()
}

/// A tokenizer that was accepted must also work without panicking.
fn exercise(source: Vec<u8>) {
    if let Ok(tokenizer) = Tokenizer::parse(source) {
        for text in ["", "Hello  world\u{e9}<s>", "\u{2581}\u{2581}"] {
            if let Ok(ids) =
                tokenizer.encode(text, &EncodeOptions { parse_special: true, ..Default::default() })
            {
                let _ = tokenizer.decode(&ids, true);
            }
        }
    }
}

#[test]
fn a_model_cut_off_anywhere_is_an_error_or_a_smaller_model() {
    let model = tiny();
    for length in (0..model.len()).step_by(7) {
        exercise(model[..length].to_vec());
    }
    let error = Tokenizer::parse(model[..1000].to_vec()).unwrap_err();
    assert!(error.kind == ErrorKind::Format && error.message.contains("at byte"), "{error}");
}

#[test]
fn flipped_bytes_never_panic() {
    let model = tiny();
    let unigram =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/unigram.model")).unwrap();
    let mut state = 1_u32;
    for source in [&model, &unigram] {
        for _ in 0..300 {
            let mut damaged = source.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % damaged.len();
                damaged[at] ^= 1 << (state & 7);
            }
            exercise(damaged);
        }
    }
}

#[test]
fn json_that_lies_is_a_format_error() {
    for text in [
        "{",
        "{}",
        r#"{"model": {"type": "BPE"}}"#,
        r#"{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{"a":4294967295},"merges":[]}}"#,
        r#"{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a c"]}}"#,
        r#"{"version":"1.0","added_tokens":[],"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated","invert":false},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
    ] {
        assert_eq!(Tokenizer::parse(text.into()).unwrap_err().kind, ErrorKind::Format, "{text}");
    }
    let stage = r#"{"type":"Sequence","decoders":["#;
    let nested = format!(
        r#"{{"version":"1.0","added_tokens":[],"decoder":{}{},"model":{{"type":"BPE","vocab":{{"a":0}},"merges":[]}}}}"#,
        stage.repeat(200),
        "]}".repeat(200)
    );
    assert_eq!(Tokenizer::parse(nested.into()).unwrap_err().kind, ErrorKind::Format);
    let deep = format!("{{\"model\":{}", "[".repeat(100_000));
    assert_eq!(Tokenizer::parse(deep.into()).unwrap_err().kind, ErrorKind::Format);
}

#[test]
fn padding_in_the_file_does_not_decide_what_is_allocated() {
    let text = r#"{"version":"1.0","truncation":null,"padding":{"strategy":{"Fixed":1000000000000},"direction":"Right",
        "pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"a"},"added_tokens":[],"normalizer":null,
        "pre_tokenizer":null,"post_processor":null,"decoder":null,
        "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,
        "fuse_unk":false,"byte_fallback":false,"vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}"#;
    let tokenizer = Tokenizer::parse(text.into()).unwrap();
    assert_eq!(tokenizer.encode("abab", &EncodeOptions::default()).unwrap(), [2, 2]);
}

#[test]
fn a_missing_file_is_a_file_error_with_its_path() {
    let error = Tokenizer::load(Path::new("/nowhere/tokenizer.json")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::File);
    assert_eq!(error.path.as_deref(), Some(Path::new("/nowhere/tokenizer.json")));
}
