//! Documents out of files of every kind, and the errors of broken ones.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use elm_data::{DocumentReader, ErrorKind, ReaderOptions, Result, TextUnit};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

fn read(path: &Path, options: &ReaderOptions) -> Result<Vec<String>> {
    let mut reader = DocumentReader::open(path, options)?;
    let mut documents = Vec::new();
    while let Some(text) = reader.next()? {
        documents.push(text);
    }
    Ok(documents)
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn skipping(path: &Path, count: u64) -> Vec<String> {
    let mut reader = DocumentReader::open(path, &ReaderOptions::default()).unwrap();
    reader.skip(count).unwrap();
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

#[test]
fn text_is_a_document_a_line_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\u{feff}one\r\n\ntwo words\nthr\u{e9}e";
    let path = file(folder.path(), "a.txt", text.as_bytes());
    let lines = ReaderOptions::default();
    assert_eq!(read(&path, &lines).unwrap(), ["one", "two words", "thr\u{e9}e"]);
    let whole = ReaderOptions { text_unit: TextUnit::File, ..lines.clone() };
    assert_eq!(read(&path, &whole).unwrap(), [text.trim_start_matches('\u{feff}')]);
    let joined = [gz(b"a\nb\n"), gz(b"c\n")].concat();
    assert_eq!(read(&file(folder.path(), "b.txt.gz", &joined), &lines).unwrap(), ["a", "b", "c"]);
    let zst = zstd::encode_all(&b"x\ny"[..], 1).unwrap();
    assert_eq!(read(&file(folder.path(), "c.TXT.zst", &zst), &lines).unwrap(), ["x", "y"]);
    assert_eq!(skipping(&path, 2), ["thr\u{e9}e"]);
    assert_eq!(skipping(&path, 9), [""; 0]);
}

#[test]
fn json_lines_give_the_string_under_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"id\":1,\"text\":\"a\\nb\\u00e9\"}\n \n{\"meta\":{\"text\":[1]},\"text\":\"c\",\"x\":null}\n{\"text\":null}\n";
    for (name, bytes) in [("a.jsonl", text.as_bytes().to_vec()), ("a.json.gz", gz(text.as_bytes()))] {
        let path = file(folder.path(), name, &bytes);
        assert_eq!(read(&path, &ReaderOptions::default()).unwrap(), ["a\nb\u{e9}", "c", ""]);
        assert_eq!(skipping(&path, 1), ["c", ""]);
    }
}

#[test]
fn broken_text_and_json_name_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReaderOptions { max_document_bytes: 50, ..ReaderOptions::default() };
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(200));
    let truncated = gz(b"{\"text\":\"abc\"}\n");
    for (name, bytes, place) in [
        ("a.jsonl", &b"{\"text\":\"a\"}\n{\"text\":5}\n"[..], "line 2: column"),
        ("b.jsonl", b"{\"body\":\"a\"}\n", "no key \"text\""),
        ("c.jsonl", b"{\"text\":\"a\"} x\n", "line 1: column"),
        ("d.jsonl", b"[1]\n", "line 1: column"),
        ("e.jsonl", b"{\"text\":\"\xff\"}\n", "line 1: column"),
        ("f.txt", b"ok\nab\xffc\n", "line 2: not UTF-8 at byte 3"),
        ("g.jsonl", long.as_bytes(), "longer than"),
        ("h.jsonl.gz", &truncated[..truncated.len() - 9], "h.jsonl.gz"),
        ("i.txt.gz", b"not gzip at all", "i.txt.gz"),
        ("j.txt.zst", b"not zstd at all", "j.txt.zst"),
        ("k.parquet", b"PAR1 no PAR1", "k.parquet"),
    ] {
        let path = file(folder.path(), name, bytes);
        let error = read(&path, &options).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Format, "{error}");
        assert!(error.message.contains(place) && error.path.as_deref() == Some(&path), "{error}");
    }
    let deep = file(folder.path(), "deep.jsonl", format!("{{\"x\":{}", "[".repeat(90)).as_bytes());
    assert_eq!(read(&deep, &ReaderOptions::default()).unwrap_err().kind, ErrorKind::Format);
    let missing = read(&folder.path().join("none.txt"), &options).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::File);
    assert_eq!(read(&file(folder.path(), "a.docx", b""), &options).unwrap_err().kind, ErrorKind::Config);
}

/// Three row groups of `ids` and an optional `text`, of which every fourth is null.
fn parquet_file(path: &Path) -> Vec<String> {
    let schema = "message m { required int32 id; optional binary text (UTF8); }";
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(Default::default()))
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(50)
        .build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    let mut expected = Vec::new();
    for group in 0..3 {
        let rows = 700;
        let mut columns = writer.next_row_group().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&(0..rows).collect::<Vec<_>>(), None, None).unwrap();
        column.close().unwrap();
        let texts: Vec<Option<String>> =
            (0..rows).map(|i| (i % 4 != 3).then(|| format!("group {group} row {i} \u{e9}"))).collect();
        let values: Vec<ByteArray> = texts.iter().flatten().map(|text| text.as_str().into()).collect();
        let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
        let mut column = columns.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        columns.close().unwrap();
        expected.extend(texts.into_iter().map(Option::unwrap_or_default));
    }
    writer.close().unwrap();
    expected
}

#[test]
fn parquet_gives_one_document_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let expected = parquet_file(&path);
    assert_eq!(read(&path, &ReaderOptions::default()).unwrap(), expected);
    for skip in [0, 1, 699, 700, 701, 1500, 2100, 5000] {
        assert!(skipping(&path, skip).iter().eq(expected.iter().skip(skip as usize)), "{skip}");
    }
    for key in ["id", "none"] {
        let options = ReaderOptions { text_key: key.into(), ..ReaderOptions::default() };
        let error = read(&path, &options).unwrap_err();
        assert!(error.kind == ErrorKind::Format && error.message.contains(key), "{error}");
    }
}

#[test]
fn parquet_that_announces_more_than_it_has_is_an_error() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../scripts/fuzz/samples");
    let folder = tempfile::tempdir().unwrap();
    for name in ["lengths", "lz4", "plain", "snappy", "zstd"] {
        let good = samples.join(format!("{name}.parquet"));
        assert!(read(&good, &ReaderOptions::default()).unwrap().len() >= 12, "{name}");
    }
    // The page of values begins behind its head with 128 numbers in 4 parts, 12 of them.
    let good = fs::read(samples.join("lengths.parquet")).unwrap();
    let at = good.windows(4).position(|bytes| bytes == [0x80, 1, 4, 12]).unwrap();
    // Instead of 12: 2^34 - 1, for whose lengths there is no memory.
    let huge = [&good[..at + 3], &[0xff, 0xff, 0xff, 0xff, 0x3f], &good[at + 8..]].concat();
    let error = read(&file(folder.path(), "a.parquet", &huge), &ReaderOptions::default()).unwrap_err();
    assert!(error.kind == ErrorKind::Format, "{error}");
    let more = [&good[..at + 3], &[13], &good[at + 4..]].concat();
    let error = read(&file(folder.path(), "b.parquet", &more), &ReaderOptions::default()).unwrap_err();
    assert!(error.message.contains("more lengths than values"), "{error}");
    // A page begins with its kind, its size and its size in the file: 0, 513, 513. Instead of the first, 2^31 - 1.
    assert_eq!(good[4..11], [0x15, 0, 0x15, 0x98, 0x07, 0x15, 0x98], "{:x?}", &good[4..14]);
    let large = [&good[..7], &[0xfe, 0xff, 0xff, 0xff, 0x0f], &good[9..]].concat();
    let error = read(&file(folder.path(), "c.parquet", &large), &ReaderOptions::default()).unwrap_err();
    assert!(error.message.contains("states 2147483647 bytes"), "{error}");
    // At the end the schema has two columns. Instead of those, 2^31 - 1; then the end is four bytes longer.
    let at = good.windows(8).rposition(|bytes| bytes == b"schema\x15\x04").unwrap() + 7;
    let tail = good.len() - 8;
    let length = u32::from_le_bytes(good[tail..tail + 4].try_into().unwrap()) + 4;
    let mut wide = [&good[..at], &[0xfe, 0xff, 0xff, 0xff, 0x0f], &good[at + 1..]].concat();
    wide[tail + 4..tail + 8].copy_from_slice(&length.to_le_bytes());
    let error = read(&file(folder.path(), "d.parquet", &wide), &ReaderOptions::default()).unwrap_err();
    assert!(error.message.contains("states 2147483647 columns"), "{error}");
}

#[test]
fn damaged_parquet_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    parquet_file(&path);
    let whole = fs::read(&path).unwrap();
    let mut state = 7_u32;
    for round in 0..150 {
        let mut damaged = whole.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // The footer is at the end: damage it as often as all the rest.
            let range = if round % 2 == 0 { damaged.len() } else { 900 };
            let at = damaged.len() - 1 - (state >> 8) as usize % range;
            damaged[at] ^= 1 << (state & 7);
        }
        fs::write(&path, &damaged).unwrap();
        if let Err(error) = read(&path, &ReaderOptions::default()) {
            assert!(matches!(error.kind, ErrorKind::Format), "{error}");
        }
    }
}
