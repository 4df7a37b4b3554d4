use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use elm_text::{Error, Result};

/// Counts what is read of the file itself, before it is decompressed.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

pub type Stream = Box<dyn BufRead + Send>;

/// Opens a file and undoes its compression, told by the suffix. Joined gzip members and zstd frames read as one.
pub fn open(path: &Path, read: Arc<AtomicU64>) -> Result<Stream> {
    let failed = |error: io::Error| Error::file(path, "open", &error);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let file = Counted { file, read };
    Ok(match path.extension().and_then(|suffix| suffix.to_str()) {
        Some(suffix) if suffix.eq_ignore_ascii_case("gz") => {
            Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(file)))
        }
        Some(suffix) if suffix.eq_ignore_ascii_case("zst") => {
            let decoder = zstd::Decoder::new(file).map_err(failed)?;
            Box::new(BufReader::with_capacity(1 << 16, decoder))
        }
        _ => Box::new(BufReader::with_capacity(1 << 16, file)),
    })
}
