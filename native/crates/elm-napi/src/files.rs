//! Files that tensors are mapped from.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use elm_core::{ErrorCode, OpError};
use memmap2::{MmapMut, MmapOptions};
use safetensors::SafeTensors;

#[derive(Default)]
pub struct Files {
    open: HashMap<u32, Arc<MmapMut>>,
    next: u32,
}

/// Mappings of all environments, so that none writes over a file that another reads from.
static MAPPED: Mutex<Vec<(PathBuf, Weak<MmapMut>)>> = Mutex::new(Vec::new());

/// Whether a mapping of the file is still in use.
pub fn is_mapped(path: &str) -> bool {
    let Ok(path) = Path::new(path).canonicalize() else { return false };
    let mut mapped = MAPPED.lock().unwrap_or_else(PoisonError::into_inner);
    mapped.retain(|(_, map)| map.strong_count() > 0);
    mapped.iter().any(|(other, _)| *other == path)
}

fn register(path: &str, map: &Arc<MmapMut>) {
    if let Ok(path) = Path::new(path).canonicalize() {
        let mut mapped = MAPPED.lock().unwrap_or_else(PoisonError::into_inner);
        mapped.retain(|(_, map)| map.strong_count() > 0);
        mapped.push((path, Arc::downgrade(map)));
    }
}

fn error(code: ErrorCode, message: String) -> OpError {
    OpError::new(code, "safetensors", message)
}

impl Files {
    /// Maps a safetensors file; gives its number and its header as JSON:
    /// `{"file": 1, "header": …, "tensors": [{"name", "dtype", "shape", "start"}]}`, the header as it is in the file.
    pub fn open(&mut self, path: &str) -> Result<String, OpError> {
        let file =
            File::open(path).map_err(|e| error(ErrorCode::File, format!("cannot open {path}: {e}")))?;
        let len = file.metadata().map_err(|e| error(ErrorCode::File, format!("{path}: {e}")))?.len();
        if len < 8 {
            return Err(error(ErrorCode::Format, format!("{path}: {len} bytes are too few for a header")));
        }
        // SAFETY: a private mapping: writes of this process stay in it. A file that another process shortens
        // meanwhile is outside of what can be guarded against; callers compare size and time before use.
        let map = unsafe { MmapOptions::new().map_copy(&file) };
        let map = map.map_err(|e| error(ErrorCode::File, format!("cannot map {path}: {e}")))?;
        let (header_len, metadata) = SafeTensors::read_metadata(&map).map_err(|e| {
            error(ErrorCode::Format, format!("{path}: the header is not valid safetensors: {e}"))
        })?;
        let data_start = header_len + 8;
        let mut infos: Vec<_> = metadata.tensors().into_iter().collect();
        infos.sort_by_key(|(_, info)| info.data_offsets);
        let tensors: Vec<serde_json::Value> = infos
            .iter()
            .map(|(name, info)| {
                serde_json::json!({
                    "name": name,
                    "dtype": info.dtype.to_string(),
                    "shape": info.shape,
                    "start": data_start + info.data_offsets.0,
                })
            })
            .collect();
        if infos.last().is_some_and(|(_, info)| data_start + info.data_offsets.1 > map.len()) {
            return Err(error(ErrorCode::Format, format!("{path}: cut off, the header promises more data")));
        }
        self.next += 1;
        let map = Arc::new(map);
        register(path, &map);
        // Checked above to be JSON. Its own text keeps the order of the metadata, which a map would not.
        let header = String::from_utf8_lossy(&map[8..data_start]).into_owned();
        let tensors = serde_json::Value::from(tensors);
        self.open.insert(self.next, map);
        Ok(format!("{{\"file\":{},\"header\":{header},\"tensors\":{tensors}}}", self.next))
    }

    pub fn get(&self, file: u32) -> Result<&Arc<MmapMut>, OpError> {
        self.open.get(&file).ok_or_else(|| error(ErrorCode::File, "this file has been closed".into()))
    }

    /// Tensors that were mapped from it keep the mapping alive.
    pub fn close(&mut self, file: u32) {
        self.open.remove(&file);
    }
}
