#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

use std::fs;
use std::path::{Path, PathBuf};

use elm_data::{Control, PrepareOptions, ReaderOptions};
use elm_text::Tokenizer;

pub fn tiny() -> Tokenizer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../packages/testing/goldens/tiny-sp.model");
    Tokenizer::load(&path).unwrap()
}

/// `count` documents of different lengths, two files of them.
pub fn corpus(folder: &Path, count: usize) -> Vec<PathBuf> {
    let document = |i: usize| format!("Document {i}{}", " of light and colours".repeat(i * 7 % 23));
    let lines = |range: std::ops::Range<usize>| range.map(|i| document(i) + "\n").collect::<String>();
    let paths = [folder.join("a.txt"), folder.join("b.txt")];
    fs::write(&paths[0], lines(0..count / 3)).unwrap();
    fs::write(&paths[1], lines(count / 3..count)).unwrap();
    paths.to_vec()
}

pub fn options(inputs: Vec<PathBuf>, output: &Path) -> PrepareOptions {
    PrepareOptions {
        inputs,
        output: output.to_owned(),
        reader: ReaderOptions::default(),
        prefix: Some(1),
        suffix: Some(2),
        validation_fraction: 0.1,
        shard_tokens: 4000,
        overwrite: false,
    }
}

pub fn quiet() -> Control {
    Control::new(None)
}
