//! CoreNet's batches: pieces, filters, truncation, padding, file order and resumption.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use elm_data::{BatchSource, CorenetLoader, CorenetOptions, ErrorKind, worker_files};
use elm_text::EncodeOptions;

mod common;
use common::tiny;

const PAD: i32 = 1024;

/// Five files of one-line JSON; file f holds documents that name it, some too short, one of many words.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let text = |f: usize, d: usize| match d {
        2 => format!("short {f}"),
        3 => format!("file {f} document {d}  word").repeat(30),
        _ => format!("file {f} document {d} {}", "of light ".repeat(d + 3)),
    };
    (0..5)
        .map(|f| {
            let path = folder.join(format!("{f:03}.jsonl"));
            let lines = (0..5).map(|d| serde_json::json!({ "body": text(f, d) }).to_string() + "\n");
            fs::write(&path, lines.collect::<String>()).unwrap();
            (path, "body".to_owned())
        })
        .collect()
}

fn options(files: Vec<(PathBuf, String)>) -> CorenetOptions {
    CorenetOptions {
        files,
        sequence_length: 24,
        batch_size: 3,
        min_tokens: 12,
        min_characters: 10,
        document_words: 16,
        shuffle: true,
        seed: 0,
        rank: 1,
        world: 2,
        workers: 2,
        prefix: Some(1),
        suffix: Some(2),
        pad_id: PAD,
        nfc: false,
    }
}

/// The samples of one worker's epoch, made from the definition.
fn expected(options: &CorenetOptions, order: &[usize]) -> Vec<Vec<i32>> {
    let tokenizer = tiny();
    let mut samples = Vec::new();
    for &file in order {
        for line in fs::read_to_string(&options.files[file].0).unwrap().lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            let words: Vec<&str> = json["body"].as_str().unwrap().split(' ').collect();
            for piece in words.chunks(options.document_words) {
                let piece = piece.join(" ");
                let clean: String =
                    piece.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
                let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
                let mut ids = vec![1];
                ids.extend(
                    tokenizer.encode(&piece, &EncodeOptions::default()).unwrap().iter().map(|&id| id as i32),
                );
                ids.push(2);
                if clean.chars().count() < options.min_characters || ids.len() < options.min_tokens {
                    continue;
                }
                ids.resize(options.sequence_length + 1, PAD);
                samples.push(ids);
            }
        }
    }
    samples
}

#[test]
fn batches_come_from_the_workers_in_turn_and_resume_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(files(folder.path()));
    let tokenizer = Arc::new(tiny());
    let mut loader = CorenetLoader::new(tokenizer.clone(), options.clone(), None).unwrap();
    let batches: Vec<_> = (0..40).map(|_| loader.next_batch().unwrap().unwrap()).collect();

    let mut truncated = 0;
    for worker in 0..2 {
        let (mut own, mut random) = worker_files(5, 4, 2 + worker, true, 0);
        let mut samples = expected(&options, &own);
        while samples.len() < 60 {
            random.shuffle(&mut own);
            samples.extend(expected(&options, &own));
        }
        for (i, batch) in batches.iter().skip(worker).step_by(2).enumerate() {
            let mut tokens = 0;
            for (row, ids) in samples[i * 3..i * 3 + 3].iter().enumerate() {
                assert_eq!(batch.inputs[row * 24..][..24], ids[..24], "worker {worker}, batch {i}");
                assert_eq!(batch.targets[row * 24..][..24], ids[1..]);
                tokens += ids[1..].iter().filter(|&&id| id != PAD).count() as u64;
                truncated += usize::from(ids[24] != PAD && ids[24] != 2);
            }
            assert_eq!(batch.tokens, tokens);
        }
    }
    assert!(truncated > 0, "some piece is longer than a sequence");

    for at in [0, 1, 7, 20] {
        let state = serde_json::to_string(&batches[at].state).unwrap();
        let state = serde_json::from_str(&state).unwrap();
        let mut again = CorenetLoader::new(tokenizer.clone(), options.clone(), Some(state)).unwrap();
        for batch in &batches[at + 1..] {
            assert!(again.next_batch().unwrap().unwrap() == *batch);
        }
    }
}

#[test]
fn a_state_needs_the_same_ranks_and_filters_that_leave_nothing_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(files(folder.path()));
    let tokenizer = Arc::new(tiny());
    let state = CorenetLoader::new(tokenizer.clone(), options.clone(), None).unwrap().state().clone();
    for other in [
        CorenetOptions { world: 3, ..options.clone() },
        CorenetOptions { rank: 0, ..options.clone() },
        CorenetOptions { workers: 3, ..options.clone() },
        CorenetOptions { min_tokens: 13, ..options.clone() },
    ] {
        let error = CorenetLoader::new(tokenizer.clone(), other, Some(state.clone())).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config);
    }
    // Getting to an epoch takes a shuffle for each before it.
    let mut late = state.clone();
    late.workers[0].epoch = 1 << 53;
    let shuffled = CorenetOptions { shuffle: true, ..options.clone() };
    late.key = CorenetLoader::new(tokenizer.clone(), shuffled.clone(), None).unwrap().state().key.clone();
    let error = CorenetLoader::new(tokenizer.clone(), shuffled, Some(late)).err().unwrap();
    assert!(error.kind == ErrorKind::Config && error.message.contains("which no run reaches"), "{error}");
    let strict = CorenetOptions { min_tokens: 10_000, ..options.clone() };
    let mut loader = CorenetLoader::new(tokenizer.clone(), strict, None).unwrap();
    assert_eq!(loader.next_batch().unwrap_err().kind, ErrorKind::Config);
    fs::remove_file(&options.files[0].0).unwrap();
    let mut loader =
        CorenetLoader::new(tokenizer, CorenetOptions { workers: 1, world: 1, rank: 0, ..options }, None)
            .unwrap();
    let error = std::iter::repeat_with(|| loader.next_batch()).find_map(|batch| batch.err()).unwrap();
    assert_eq!(error.kind, ErrorKind::File);
}
