//! Shards on disk: whole, the same however they came about, and not fooled by what lies there already.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use elm_data::{Control, ErrorKind, Manifest, PrepareOptions, Split, prepare, verify};
use elm_text::EncodeOptions;

mod common;
use common::{corpus, options, quiet, tiny};

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// Names of the files that differ between two folders.
fn differing(a: &Path, b: &Path) -> Vec<String> {
    let (a, b) = (files(a), files(b));
    a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

fn u16s(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(2).map(|id| u32::from(u16::from_le_bytes([id[0], id[1]]))).collect()
}

#[test]
fn shards_hold_every_document_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, output) = (corpus(folder.path(), 500), folder.path().join("out"));
    let tokenizer = tiny();
    let manifest = prepare(&tokenizer, &options(inputs.clone(), &output), &quiet()).unwrap();
    assert_eq!(manifest, Manifest::read(&output).unwrap());
    assert!(manifest.train.shards.len() > 3, "{}", manifest.train.shards.len());
    assert_eq!(manifest.train.documents + manifest.validation.documents, 500);
    assert!((20..90).contains(&manifest.validation.documents), "{}", manifest.validation.documents);

    let text: String = inputs.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let encode = EncodeOptions { prefix: Some(1), suffix: Some(2), ..Default::default() };
    let mut expected: Vec<Vec<u32>> =
        text.lines().map(|line| tokenizer.encode(line, &encode).unwrap()).collect();
    let mut found = Vec::new();
    for split in [Split::Train, Split::Validation] {
        let mut before = 0;
        for shard in &manifest.split(split).shards {
            let tokens = u16s(&fs::read(output.join(&shard.file)).unwrap());
            let index = fs::read(output.join(&shard.index)).unwrap();
            let offsets: Vec<_> =
                index.chunks_exact(8).map(|o| u64::from_le_bytes(o.try_into().unwrap()) as usize).collect();
            assert_eq!((offsets[0], offsets.last()), (0, Some(&tokens.len())));
            for pair in offsets.windows(2) {
                let document = tokens[pair[0]..pair[1]].to_vec();
                let place = expected.iter().position(|ids| *ids == document).unwrap();
                assert!(place >= before, "documents keep their order");
                before = place;
                found.push(document);
            }
        }
    }
    found.sort();
    expected.sort();
    assert!(found == expected);
    assert_eq!(manifest.train.text_bytes + manifest.validation.text_bytes, text.len() as u64 - 500);
    verify(&output, &quiet()).unwrap();
}

#[test]
fn a_cancelled_run_goes_on_to_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = corpus(folder.path(), 9000);
    let (once, twice) = (folder.path().join("once"), folder.path().join("twice"));
    let options = |output| PrepareOptions { shard_tokens: 30_000, ..options(inputs.clone(), output) };
    let tokenizer = tiny();
    prepare(&tokenizer, &options(&once), &quiet()).unwrap();

    let control = Arc::new_cyclic(|control: &std::sync::Weak<Control>| {
        let (control, reports) = (control.clone(), AtomicUsize::new(0));
        Control::new(Some(Box::new(move |_| {
            if reports.fetch_add(1, Ordering::Relaxed) == 1 {
                control.upgrade().unwrap().cancel();
            }
        })))
    });
    let error = prepare(&tokenizer, &options(&twice), &control).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    let left = files(&twice);
    assert!(left.contains_key("train-00001.bin") && left.contains_key("progress.json"), "{:?}", left.keys());
    assert!(!left.contains_key("manifest.json") && !left.keys().any(|name| name.ends_with(".tmp")));

    // What a kill leaves besides: a shard that no note lists, and temporary files.
    fs::write(twice.join("train-00099.bin"), b"half").unwrap();
    fs::write(twice.join("train-00098.idx.tmp"), b"half").unwrap();
    let kept = fs::metadata(twice.join("train-00000.bin")).unwrap().modified().unwrap();
    prepare(&tokenizer, &options(&twice), &quiet()).unwrap();
    assert_eq!(kept, fs::metadata(twice.join("train-00000.bin")).unwrap().modified().unwrap());
    assert_eq!(differing(&once, &twice), [""; 0]);

    // Without its manifest and with a damaged shard it is an unfinished corpus: made again from that shard on.
    fs::remove_file(twice.join("manifest.json")).unwrap();
    fs::write(twice.join("progress.json"), left["progress.json"].as_slice()).unwrap();
    fs::write(twice.join("train-00001.bin"), b"half").unwrap();
    prepare(&tokenizer, &options(&twice), &quiet()).unwrap();
    assert_eq!(kept, fs::metadata(twice.join("train-00000.bin")).unwrap().modified().unwrap());
    assert_eq!(differing(&once, &twice), [""; 0]);

    // Once more there is nothing to do.
    prepare(&tokenizer, &options(&twice), &quiet()).unwrap();
    assert_eq!(differing(&once, &twice), [""; 0]);
}

#[test]
fn another_corpus_is_not_overwritten_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, output) = (corpus(folder.path(), 300), folder.path().join("out"));
    let tokenizer = tiny();
    let first = options(inputs.clone(), &output);
    prepare(&tokenizer, &first, &quiet()).unwrap();
    let before = files(&output);
    let mut other = options(inputs.clone(), &output);
    other.shard_tokens = 100_000;
    let error = prepare(&tokenizer, &other, &quiet()).unwrap_err();
    assert!(error.kind == ErrorKind::Config && error.message.contains("overwrite"), "{error}");
    assert!(before == files(&output));
    other.overwrite = true;
    let manifest = prepare(&tokenizer, &other, &quiet()).unwrap();
    assert_eq!(manifest.train.shards.len(), 1);
    assert!(!output.join("train-00001.bin").exists());

    fs::write(&inputs[1], "now something else\n").unwrap();
    assert_eq!(prepare(&tokenizer, &first, &quiet()).unwrap_err().kind, ErrorKind::Config);
    fs::write(output.join("manifest.json"), b"{").unwrap();
    assert_eq!(prepare(&tokenizer, &first, &quiet()).unwrap_err().kind, ErrorKind::Format);
}

#[test]
fn an_error_in_the_corpus_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = corpus(folder.path(), 5000);
    let output = folder.path().join("out");
    let bad = folder.path().join("bad.jsonl");
    fs::write(&bad, "{\"text\": \"fine\"}\n{\"text\": }\n").unwrap();
    inputs.push(bad.clone());
    let error = prepare(&tiny(), &options(inputs.clone(), &output), &quiet()).unwrap_err();
    assert!(error.kind == ErrorKind::Format && error.path == Some(bad), "{error}");
    assert!(!files(&output).keys().any(|name| name.ends_with(".tmp") || name == "manifest.json"));

    inputs[2] = folder.path().join("missing.jsonl");
    let error = prepare(&tiny(), &options(inputs, &folder.path().join("other")), &quiet()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::File);
}

#[test]
fn verify_finds_a_changed_byte_and_a_manifest_that_points_outside() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, output) = (corpus(folder.path(), 300), folder.path().join("out"));
    prepare(&tiny(), &options(inputs, &output), &quiet()).unwrap();
    let shard = output.join("train-00001.bin");
    let mut bytes = fs::read(&shard).unwrap();
    bytes[10] ^= 1;
    fs::write(&shard, &bytes).unwrap();
    let error = verify(&output, &quiet()).unwrap_err();
    assert!(error.kind == ErrorKind::Format && error.path.as_deref() == Some(&shard), "{error}");

    let manifest = output.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    for (from, to) in [
        ("\"train-00001.bin\"", "\"../train-00001.bin\""),
        ("\"documents\": ", "\"documents\": 9"),
        ("\"version\": 1", "\"version\": 2"),
        ("\"dtype\": \"u16\"", "\"dtype\": \"u32\""),
    ] {
        fs::write(&manifest, text.replace(from, to)).unwrap();
        assert_eq!(Manifest::read(&output).unwrap_err().kind, ErrorKind::Format, "{to}");
    }
}

#[test]
fn two_runs_do_not_write_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (inputs, output) = (corpus(folder.path(), 3000), folder.path().join("out"));
    let (a, b) = (options(inputs.clone(), &output), options(inputs, &output));
    // From inside the first run, by its first report, a second is refused.
    let refused = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = refused.clone();
    let control = Control::new(Some(Box::new(move |_| {
        seen.lock().unwrap().push(prepare(&tiny(), &b, &quiet()).unwrap_err());
    })));
    prepare(&tiny(), &a, &control).unwrap();
    let refused = refused.lock().unwrap();
    assert!(!refused.is_empty() && refused.iter().all(|error| error.kind == ErrorKind::Config));
    assert!(refused[0].message.contains("another run"), "{}", refused[0]);
}
