//! Which way of each product was the fastest when it was measured, in a file of the user's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// `cublasLtMatmulAlgo_t`: plain data, which the same version of the library takes again.
pub type Algorithm = [u64; 8];

/// The form of the file.
const FORM: u32 = 1;

/// A product that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    #[serde(with = "hex")]
    pub algorithm: Algorithm,
    /// How many ways there were.
    pub candidates: usize,
    /// Microseconds of the heuristic's first way, and of this one.
    pub first: f64,
    pub best: f64,
}

/// What entries are good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// Name of the device.
    pub gpu: String,
    /// Version of cuBLASLt.
    pub version: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    form: u32,
    gpu: String,
    cublas_lt: usize,
    /// [`hash_of`] the products: one that was changed by hand is not handed to the library.
    hash: String,
    products: BTreeMap<String, Entry>,
}

/// Entries by the text of a product's key.
type Entries = BTreeMap<String, Entry>;

/// The entries in use, and where they come from.
pub struct Table {
    maker: Maker,
    path: Option<PathBuf>,
    entries: Entries,
    /// Why there are none although there is a file.
    problem: Option<String>,
}

/// A table as others may name it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableFacts {
    /// Where it is kept; none without a folder of the user's, or when tables are turned off.
    pub file: Option<PathBuf>,
    /// Of the products with their ways; their times do not count.
    pub hash: String,
    /// How many products it holds.
    pub products: usize,
    /// Why the file was not taken.
    pub problem: Option<String>,
}

impl Table {
    /// The user's table; it is empty where there is none, or none that can be trusted.
    pub fn open(maker: Maker) -> Table {
        let folder = if is_on() { folder(&|name| std::env::var_os(name)) } else { None };
        Table::open_in(folder.as_deref(), maker)
    }

    fn open_in(folder: Option<&Path>, maker: Maker) -> Table {
        let path = folder.map(|folder| folder.join(maker.file_name()));
        let mut table = Table { maker, path, entries: Entries::new(), problem: None };
        table.reload();
        table
    }

    fn reload(&mut self) {
        let read = self.path.as_deref().map_or(Ok(Entries::new()), |path| read(path, &self.maker));
        match read {
            Ok(entries) => (self.entries, self.problem) = (entries, None),
            Err(problem) => (self.entries, self.problem) = (Entries::new(), Some(problem)),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub fn facts(&self) -> TableFacts {
        TableFacts {
            file: self.path.clone(),
            hash: hash_of(&self.entries),
            products: self.entries.len(),
            problem: self.problem.clone(),
        }
    }

    /// Adds what was measured to the file, and takes the file as it then is.
    ///
    /// What others wrote meanwhile stays; a file that cannot be trusted is replaced.
    pub fn store(&mut self, measured: Entries) -> Result<(), String> {
        let path = self.path.as_deref().ok_or("there is no folder to keep it in: set OPENELM_CACHE")?;
        let mut products = read(path, &self.maker).unwrap_or_default();
        products.extend(measured);
        let Maker { gpu, version } = self.maker.clone();
        let file = File { form: FORM, gpu, cublas_lt: version, hash: hash_of(&products), products };
        let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
        write(path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        self.reload();
        Ok(())
    }
}

impl Maker {
    /// Such as `products-nvidia-h200-130002.json`.
    fn file_name(&self) -> String {
        let words = self.gpu.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let gpu = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
        format!("products-{gpu}-{}.json", self.version)
    }
}

/// `OPENELM_CUDA_TUNING=0`: no table is read or written, to see what it gives.
pub fn is_on() -> bool {
    std::env::var("OPENELM_CUDA_TUNING").as_deref() != Ok("0")
}

/// `OPENELM_CACHE`, or a folder of our own where the system keeps such files.
fn folder(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_system = || named(if cfg!(windows) { "LOCALAPPDATA" } else { "XDG_CACHE_HOME" });
    let of_home =
        || named(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(|home| home.join(".cache"));
    named("OPENELM_CACHE").or_else(|| Some(of_system().or_else(of_home)?.join("openelm")))
}

/// A file that is not there holds nothing; one that is not what was written is an error.
fn read(path: &Path, maker: &Maker) -> Result<Entries, String> {
    let problem = |what: String| format!("{}: {what}", path.display());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Entries::new()),
        Err(error) => return Err(problem(error.to_string())),
    };
    let file: File = serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
    if file.form != FORM {
        return Err(problem(format!("it has form {}, this version reads {FORM}", file.form)));
    }
    let of = Maker { gpu: file.gpu, version: file.cublas_lt };
    if of != *maker {
        return Err(problem(format!(
            "it was measured on {} with cuBLASLt {}, this is {} with {}",
            of.gpu, of.version, maker.gpu, maker.version
        )));
    }
    if file.hash != hash_of(&file.products) {
        return Err(problem("its products are not those that were written".into()));
    }
    Ok(file.products)
}

/// Whoever reads meanwhile sees the old file or the new one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let outcome = written.and_then(|()| fs::rename(&beside, path));
    if outcome.is_err() {
        let _ = fs::remove_file(&beside);
    }
    outcome
}

/// The first half of a SHA-256 as text.
fn hash_of(entries: &Entries) -> String {
    let mut hash = Sha256::new();
    for (key, entry) in entries {
        hash.update(format!("{key}\n{}\n", hex::text(&entry.algorithm)));
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Algorithm;

    pub fn text(algorithm: &Algorithm) -> String {
        algorithm.iter().map(|word| format!("{word:016x}")).collect()
    }

    fn parse(text: &str) -> Option<Algorithm> {
        if text.len() != 128 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut algorithm = Algorithm::default();
        for (i, word) in algorithm.iter_mut().enumerate() {
            *word = u64::from_str_radix(&text[16 * i..16 * (i + 1)], 16).ok()?;
        }
        Some(algorithm)
    }

    pub fn serialize<S: Serializer>(algorithm: &Algorithm, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(algorithm))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| serde::de::Error::custom("an algorithm has 128 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker() -> Maker {
        Maker { gpu: "NVIDIA H200".into(), version: 130_002 }
    }

    fn entry(seed: u64) -> Entry {
        Entry { algorithm: [seed, 0, u64::MAX, 1 << 63, 4, 5, 6, 7], candidates: 8, first: 12.5, best: 10.25 }
    }

    fn entries(keys: &[(&str, u64)]) -> Entries {
        keys.iter().map(|&(key, seed)| (key.into(), entry(seed))).collect()
    }

    #[test]
    fn what_was_stored_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("not/there/yet");
        let mut table = Table::open_in(Some(&inner), maker());
        assert_eq!((table.facts().products, table.facts().problem), (0, None));
        table.store(entries(&[("a", 1), ("b", 2)])).unwrap();
        let again = Table::open_in(Some(&inner), maker());
        assert_eq!(again.get("a"), Some(&entry(1)));
        assert_eq!(again.get("c"), None);
        assert_eq!(again.facts().hash, table.facts().hash);
        assert_eq!(again.facts().file, Some(inner.join("products-nvidia-h200-130002.json")));
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    }

    #[test]
    fn a_store_keeps_what_others_wrote_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) =
            (Table::open_in(Some(folder.path()), maker()), Table::open_in(Some(folder.path()), maker()));
        one.store(entries(&[("a", 1), ("b", 2)])).unwrap();
        other.store(entries(&[("b", 3), ("c", 4)])).unwrap();
        assert_eq!(other.entries, entries(&[("a", 1), ("b", 3), ("c", 4)]));
        assert_eq!(Table::open_in(Some(folder.path()), maker()).entries, other.entries);
    }

    #[test]
    fn a_file_that_cannot_be_trusted_is_as_if_there_were_none_until_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::open_in(Some(folder.path()), maker());
        table.store(entries(&[("a", 1)])).unwrap();
        let path = table.facts().file.unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for (bad, why) in [
            (good[..good.len() / 2].to_owned(), "EOF"),
            ("\u{0}".into(), "expected value"),
            (good.replacen("ffff", "fffe", 1), "not those that were written"),
            (good.replacen("ffff", "fff", 1), "128 hexadecimal digits"),
            (good.replacen("ffffffff", "ffff+fff", 1), "128 hexadecimal digits"),
            (good.replace("\"form\": 1", "\"form\": 2"), "form 2, this version reads 1"),
            (good.replace("130002", "130100"), "with cuBLASLt 130100, this is NVIDIA H200 with 130002"),
            (good.replace("H200", "A100"), "measured on NVIDIA A100"),
        ] {
            fs::write(&path, &bad).unwrap();
            let mut table = Table::open_in(Some(folder.path()), maker());
            let facts = table.facts();
            let problem = facts.problem.unwrap();
            assert!(problem.contains(why) && problem.contains("products-nvidia"), "{problem}, not {why}");
            assert_eq!(facts.products, 0);
            table.store(entries(&[("b", 2)])).unwrap();
            assert_eq!((table.entries, table.problem), (entries(&[("b", 2)]), None));
        }
    }

    #[test]
    fn devices_and_versions_have_files_of_their_own() {
        let name = |gpu: &str, version| Maker { gpu: gpu.into(), version }.file_name();
        assert_eq!(name("NVIDIA H200", 130_002), "products-nvidia-h200-130002.json");
        assert_eq!(
            name("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 1),
            "products-nvidia-a100-sxm4-80gb-mig-1g-10gb-1.json"
        );
        assert_eq!(name("../../x", 1), "products-x-1.json");
    }

    #[test]
    fn the_hash_is_of_the_ways_and_not_of_the_times() {
        let one = entries(&[("a", 1), ("b", 2)]);
        let mut other = one.clone();
        other.get_mut("a").unwrap().best = 1.0;
        assert_eq!(hash_of(&one), hash_of(&other));
        assert_ne!(hash_of(&one), hash_of(&entries(&[("a", 1), ("b", 3)])));
        assert_ne!(hash_of(&one), hash_of(&entries(&[("a", 1), ("c", 2)])));
        assert_eq!(hash_of(&one).len(), 32);
    }

    #[test]
    #[cfg(unix)]
    fn the_folder_is_the_one_asked_for_or_where_caches_are() {
        let with = |pairs: &[(&str, &str)]| {
            let found = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.into());
            folder(&found)
        };
        assert_eq!(with(&[("OPENELM_CACHE", "/c"), ("HOME", "/h")]), Some("/c".into()));
        assert_eq!(with(&[("OPENELM_CACHE", ""), ("HOME", "/h")]), Some("/h/.cache/openelm".into()));
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), Some("/x/openelm".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn a_table_without_a_folder_says_so_when_it_is_stored() {
        let mut table = Table::open_in(None, maker());
        assert!(table.store(entries(&[("a", 1)])).unwrap_err().contains("OPENELM_CACHE"));
        assert_eq!(table.facts().products, 0);
    }
}
