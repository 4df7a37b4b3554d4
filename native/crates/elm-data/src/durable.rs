//! Files that are whole or not there: a temporary name, fsync, rename, fsync of the folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use elm_text::{Error, Result};
use sha2::{Digest, Sha256};

/// What temporary files end in; a killed run leaves some, the next one removes them.
pub const TEMPORARY: &str = ".tmp";

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that appears under its name only when finished, and its SHA-256. Dropped early, it leaves nothing.
pub struct NewFile {
    path: PathBuf,
    writer: Option<BufWriter<File>>,
    hash: Sha256,
}

impl NewFile {
    pub fn create(path: &Path) -> Result<NewFile> {
        let file = File::create(temporary(path)).map_err(|error| Error::file(path, "create", &error))?;
        let writer = Some(BufWriter::with_capacity(1 << 18, file));
        Ok(NewFile { path: path.to_owned(), writer, hash: Sha256::new() })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let writer = self.writer.as_mut().expect("an unfinished file has a writer");
        writer.write_all(bytes).map_err(|error| Error::file(&self.path, "write", &error))?;
        self.hash.update(bytes);
        Ok(())
    }

    /// Makes the file appear; the caller syncs the folder. Returns the hash in hexadecimal.
    pub fn finish(mut self) -> Result<String> {
        let failed = |error: io::Error| Error::file(&self.path, "write", &error);
        let writer = self.writer.as_mut().expect("an unfinished file has a writer");
        writer.flush().map_err(failed)?;
        writer.get_ref().sync_all().map_err(failed)?;
        fs::rename(temporary(&self.path), &self.path).map_err(failed)?;
        self.writer = None;
        Ok(hex(&self.hash.finalize_reset()))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            let _ = fs::remove_file(temporary(&self.path));
        }
    }
}

/// Replaces `path` by `bytes`, wholly or not at all.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = NewFile::create(path)?;
    file.write(bytes)?;
    file.finish()?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes renames in `folder` last. Windows does so by itself and cannot open folders.
pub fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|file| file.sync_all())
            .map_err(|error| Error::file(folder, "sync", &error))?;
    }
    Ok(())
}

/// Reads a file that must not be larger than `limit` bytes.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |error: io::Error| Error::file(path, "read", &error);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::format(path, format_args!("larger than {limit} bytes")));
    }
    Ok(bytes)
}
