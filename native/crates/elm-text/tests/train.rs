//! Training a byte-level BPE tokenizer, and what it makes of text.

use std::path::Path;
use std::sync::Arc;

use elm_text::{BpeTrainer, EncodeOptions, ErrorKind, TokenStream, Tokenizer, TrainOptions};

fn strings() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../packages/testing/goldens/tokenizer-strings.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn options() -> TrainOptions {
    TrainOptions {
        vocab_size: 400,
        special_tokens: vec!["<|bos|>".into(), "<|eos|>".into()],
        min_frequency: 2,
        split_digits: true,
    }
}

fn train(batches: &[&[String]]) -> Tokenizer {
    let mut trainer = BpeTrainer::new(options()).unwrap();
    for batch in batches {
        trainer.feed(batch).unwrap();
    }
    trainer.finish().unwrap()
}

#[test]
fn training_depends_on_the_text_alone() {
    let texts = strings();
    let mut reversed = texts.clone();
    reversed.reverse();
    let once = train(&[&texts]);
    let parts = train(&[&reversed[..50], &reversed[50..51], &reversed[51..]]);
    assert_eq!(once.source(), parts.source());
    assert!(once.vocab_size() > 300 && once.vocab_size() <= 400, "{}", once.vocab_size());
    assert_eq!((once.find("<|bos|>"), once.find("<|eos|>")), (Some(0), Some(1)));
}

#[test]
fn every_text_comes_back_whole_and_streamed() {
    let texts = strings();
    let tokenizer = Arc::new(train(&[&texts]));
    let batch = tokenizer.encode_batch(&texts, &EncodeOptions::default()).unwrap();
    for (text, ids) in texts.iter().zip(&batch) {
        assert_eq!(&tokenizer.decode(ids, true).unwrap(), text);
        let mut stream = TokenStream::new(tokenizer.clone(), true);
        let mut parts: Vec<_> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        parts.push(stream.end().unwrap());
        assert_eq!(&parts.concat(), text);
        assert!(text.contains('\u{fffd}') || !parts.concat().contains('\u{fffd}'));
    }
}

#[test]
fn a_cut_off_character_waits_and_becomes_a_replacement_at_the_end() {
    let tokenizer = Arc::new(train(&[&["plain words only".to_owned()]]));
    let ids = tokenizer.encode("\u{1f600}", &EncodeOptions::default()).unwrap();
    assert_eq!(ids.len(), 4);
    let mut stream = TokenStream::new(tokenizer.clone(), true);
    for &id in &ids[..3] {
        assert_eq!(stream.push(id).unwrap(), "");
    }
    assert_eq!(stream.push(ids[3]).unwrap(), "\u{1f600}");
    assert_eq!(stream.push(ids[0]).unwrap(), "");
    assert_eq!(stream.end().unwrap(), "\u{fffd}");
    // The next text starts anew.
    assert_eq!(stream.push(ids[0]).unwrap(), "");
    let broken: Vec<u32> = std::iter::repeat_n(ids[1], 40).collect();
    let mut text = String::new();
    for &id in &broken {
        text.push_str(&stream.push(id).unwrap());
    }
    text.push_str(&stream.end().unwrap());
    let all: Vec<u32> = std::iter::once(ids[0]).chain(broken).collect();
    assert_eq!(text, tokenizer.decode(&all, true).unwrap());
}

#[test]
fn special_tokens_are_text_unless_asked_for() {
    let tokenizer = train(&[&strings()]);
    let text = "a<|eos|>b";
    let plain = tokenizer.encode(text, &EncodeOptions::default()).unwrap();
    assert!(!plain.contains(&1));
    let options =
        EncodeOptions { parse_special: true, prefix: Some(0), suffix: Some(1), ..Default::default() };
    let parsed = tokenizer.encode(text, &options).unwrap();
    assert_eq!((parsed.first(), parsed.last()), (Some(&0), Some(&1)));
    assert_eq!(parsed.iter().filter(|&&id| id == 1).count(), 2);
    assert_eq!(tokenizer.decode(&parsed, true).unwrap(), "ab");
    assert_eq!(tokenizer.decode(&parsed, false).unwrap(), "<|bos|>a<|eos|>b<|eos|>");
}

#[test]
fn impossible_options_are_refused() {
    let error = BpeTrainer::new(TrainOptions { vocab_size: 257, ..options() }).err().unwrap();
    assert!(error.kind == ErrorKind::Config && error.message.contains("258"), "{error}");
    let twice = vec!["<s>".into(), "<s>".into()];
    assert!(BpeTrainer::new(TrainOptions { special_tokens: twice, ..options() }).is_err());
    assert_eq!(BpeTrainer::new(options()).unwrap().finish().unwrap_err().kind, ErrorKind::Config);
}

#[test]
fn an_id_outside_the_vocabulary_is_an_argument_error() {
    let tokenizer = train(&[&strings()]);
    let size = tokenizer.vocab_size() as u32;
    assert_eq!(tokenizer.decode(&[size], true).unwrap_err().kind, ErrorKind::Argument);
}
