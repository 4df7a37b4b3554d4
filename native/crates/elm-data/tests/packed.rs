//! What the packed loader promises: every token once, documents told apart, exact resumption on any number of ranks.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use elm_data::{
    BatchSource, ErrorKind, PackedBatch, PackedLoader, PackedOptions, Prefetch, ShardSet, Split, prepare,
};
use tempfile::TempDir;

mod common;
use common::{corpus, options, quiet, tiny};

const T: usize = 37;

fn shards() -> (TempDir, Arc<ShardSet>) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    prepare(&tiny(), &options(corpus(folder.path(), 400), &output), &quiet()).unwrap();
    let set = ShardSet::open(&output, Split::Train).unwrap();
    (folder, Arc::new(set))
}

fn packed() -> PackedOptions {
    PackedOptions {
        sequence_length: T,
        batch_size: 3,
        seed: 5,
        shuffle: true,
        rank: 0,
        world: 1,
        document_mask: true,
        ignore_index: -100,
        pad_id: 0,
        epochs: Some(1),
    }
}

fn all(loader: &mut PackedLoader) -> Vec<PackedBatch> {
    std::iter::from_fn(|| loader.next_batch().unwrap()).collect()
}

/// Documents as the loader shows them: inputs cut where the document changes and a document begins (token 1).
fn stream(batches: &[PackedBatch]) -> Vec<i32> {
    let real = |batch: &PackedBatch| {
        let documents = batch.documents.clone().unwrap();
        batch.inputs.iter().zip(documents).filter(|(_, d)| *d >= 0).map(|(id, _)| *id).collect::<Vec<_>>()
    };
    batches.iter().flat_map(real).collect()
}

fn documents(stream: &[i32]) -> Vec<Vec<i32>> {
    let mut documents: Vec<Vec<i32>> = Vec::new();
    for &id in stream {
        if id == 1 {
            documents.push(Vec::new());
        }
        documents.last_mut().unwrap().push(id);
    }
    documents
}

#[test]
fn an_epoch_has_every_token_once_in_a_shuffled_order() {
    let (_folder, set) = shards();
    let mut plain =
        PackedLoader::new(set.clone(), PackedOptions { shuffle: false, ..packed() }, None).unwrap();
    let plain = all(&mut plain);
    let batches = all(&mut PackedLoader::new(set.clone(), packed(), None).unwrap());
    assert_eq!(stream(&batches).len() as u64, set.tokens());
    let (mut ordered, mut shuffled) = (documents(&stream(&plain)), documents(&stream(&batches)));
    assert_eq!(ordered.len() as u64, set.documents());
    assert_ne!(ordered, shuffled);
    ordered.sort();
    shuffled.sort();
    assert!(ordered == shuffled);
    // Inside a document every token but its first is a target, once.
    let targets: u64 = batches.iter().map(|batch| batch.tokens).sum();
    assert_eq!(targets, set.tokens() - set.documents());
}

#[test]
fn targets_are_the_next_inputs_and_stop_at_a_document_s_end() {
    let (_folder, set) = shards();
    let batches = all(&mut PackedLoader::new(set.clone(), packed(), None).unwrap());
    let inputs: Vec<i32> = stream(&batches);
    let mut position = 0;
    for batch in &batches {
        let documents = batch.documents.as_ref().unwrap();
        let valid = batch.targets.iter().filter(|&&target| target != -100).count();
        assert_eq!(valid as u64, batch.tokens);
        for row in 0..3 {
            for i in row * T..(row + 1) * T {
                if documents[i] < 0 {
                    assert_eq!((batch.inputs[i], batch.targets[i]), (0, -100));
                    continue;
                }
                let first = i == row * T;
                let starts = inputs[position] == 1;
                assert!(!first || documents[i] == 0);
                assert!(first || documents[i] == documents[i - 1] + i32::from(starts));
                position += 1;
                let next = inputs.get(position).copied().unwrap_or(1);
                assert_eq!(batch.targets[i], if next == 1 { -100 } else { next });
            }
        }
    }
    assert_eq!(position, inputs.len());
}

#[test]
fn without_the_mask_the_next_document_is_predicted_too() {
    let (_folder, set) = shards();
    let options = PackedOptions { document_mask: false, epochs: None, ..packed() };
    let mut loader = PackedLoader::new(set, options, None).unwrap();
    let batch = loader.next_batch().unwrap().unwrap();
    assert!(batch.documents.is_none());
    assert_eq!(batch.tokens as usize, 3 * T);
    for i in (0..3 * T - 1).filter(|i| (i + 1) % T != 0) {
        assert_eq!(batch.targets[i], batch.inputs[i + 1]);
    }
    // Rows overlap by the token between them.
    assert_eq!(batch.targets[T - 1], batch.inputs[T]);
}

#[test]
fn ranks_share_the_stream_and_a_state_fits_any_number_of_them() {
    let (_folder, set) = shards();
    let rows = |batches: &[PackedBatch]| -> Vec<Vec<i32>> {
        batches.iter().flat_map(|batch| batch.inputs.chunks(T).map(<[i32]>::to_vec)).collect()
    };
    let endless = PackedOptions { batch_size: 1, epochs: None, ..packed() };
    let mut one = PackedLoader::new(set.clone(), endless.clone(), None).unwrap();
    let alone: Vec<_> = (0..3000).map(|_| one.next_batch().unwrap().unwrap()).collect();
    assert!(alone.last().unwrap().state.epoch > 0, "several epochs are passed");

    // 8 steps of 3 ranks with batches of 2, then 5 steps of 4 ranks with batches of 3, from rank 1's state.
    let mut together = Vec::new();
    let mut state = None;
    for (steps, world, batch_size) in [(8, 3, 2), (5, 4, 3), (700, 2, 2)] {
        let mut loaders: Vec<_> = (0..world)
            .map(|rank| {
                let options = PackedOptions { rank, world, batch_size, ..endless.clone() };
                PackedLoader::new(set.clone(), options, state.as_ref()).unwrap()
            })
            .collect();
        for _ in 0..steps {
            let step: Vec<_> =
                loaders.iter_mut().map(|loader| loader.next_batch().unwrap().unwrap()).collect();
            assert!(step.iter().all(|batch| batch.state == step[0].state));
            state = Some(step[1].state.clone());
            together.extend(rows(&step));
        }
    }
    assert!(rows(&alone)[..together.len()] == together[..]);
}

#[test]
fn all_ranks_give_the_same_number_of_batches() {
    let (_folder, set) = shards();
    let count = |rank| {
        all(&mut PackedLoader::new(set.clone(), PackedOptions { rank, world: 3, ..packed() }, None).unwrap())
    };
    let batches: Vec<_> = (0..3).map(count).collect();
    assert!(batches.iter().all(|own| own.len() == batches[0].len()));
    let tokens: u64 = batches.iter().flatten().map(|batch| batch.tokens).sum();
    assert_eq!(tokens, set.tokens() - set.documents());
}

#[test]
fn a_state_of_something_else_is_refused() {
    let (_folder, set) = shards();
    let mut loader = PackedLoader::new(set.clone(), packed(), None).unwrap();
    let state = loader.next_batch().unwrap().unwrap().state;
    let json = serde_json::to_string(&state).unwrap();
    assert!(json.len() < 300 && serde_json::from_str::<elm_data::PackedState>(&json).unwrap() == state);
    let refused = |options: PackedOptions, state: &elm_data::PackedState| {
        PackedLoader::new(set.clone(), options, Some(state)).err().unwrap().kind
    };
    assert_eq!(refused(PackedOptions { seed: 6, ..packed() }, &state), ErrorKind::Config);
    assert_eq!(refused(PackedOptions { sequence_length: 8, ..packed() }, &state), ErrorKind::Config);
    for damaged in [
        elm_data::PackedState { dataset: "other".into(), ..state.clone() },
        elm_data::PackedState { document: 1 << 40, ..state.clone() },
        elm_data::PackedState { offset: 1 << 40, ..state },
    ] {
        assert_eq!(refused(packed(), &damaged), ErrorKind::Config);
    }
}

fn damage(folder: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = folder.join("out").join(name);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn damaged_shards_are_format_errors() {
    let (folder, _set) = shards();
    let open = || ShardSet::open(&folder.path().join("out"), Split::Train);
    let run = |set: ShardSet| {
        let mut loader = PackedLoader::new(Arc::new(set), packed(), None)?;
        while loader.next_batch()?.is_some() {}
        Ok::<_, elm_data::Error>(())
    };
    damage(folder.path(), "train-00000.bin", |bytes| bytes[100..102].copy_from_slice(&[0xff, 0xff]));
    let error = run(open().unwrap()).unwrap_err();
    assert!(error.kind == ErrorKind::Format && error.message.contains("vocabulary"), "{error}");
    damage(folder.path(), "train-00001.idx", |bytes| bytes[8..16].copy_from_slice(&[0xff; 8]));
    assert_eq!(run(open().unwrap()).unwrap_err().kind, ErrorKind::Format);

    let set = open().unwrap();
    damage(folder.path(), "train-00002.bin", |bytes| bytes.truncate(50));
    assert_eq!(run(set).unwrap_err().kind, ErrorKind::Format);
    assert_eq!(open().err().unwrap().kind, ErrorKind::Format);
    fs::remove_file(folder.path().join("out/train-00002.bin")).unwrap();
    assert_eq!(open().err().unwrap().kind, ErrorKind::File);
}

#[test]
fn prefetching_changes_nothing() {
    let (_folder, set) = shards();
    let new = || PackedLoader::new(set.clone(), packed(), None).unwrap();
    let ahead = Prefetch::start(new(), 4).unwrap();
    let batches: Vec<_> = std::iter::from_fn(|| ahead.next().unwrap()).collect();
    assert!(batches == all(&mut new()));
    assert!(ahead.next().unwrap().is_none());
}
