use std::collections::HashSet;
use std::fs;
use std::path::Path;

use elm_text::{Error, Result};
use serde::{Deserialize, Serialize};

use super::manifest::{MANIFEST, Split, Width};
use super::segment::{Position, Segment};
use crate::durable::{TEMPORARY, read_bounded, sync_folder, write_atomic};

const PROGRESS: &str = "progress.json";

/// What of an unfinished run is on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unfinished {
    /// Hash of everything that the content follows from.
    key: String,
    pub segments: Vec<Segment>,
}

impl Unfinished {
    pub fn resume(folder: &Path, key: &str, width: Width, overwrite: bool) -> Result<Unfinished> {
        let path = folder.join(PROGRESS);
        if path.exists() {
            let read = read_bounded(&path, 512 << 20).and_then(|bytes| {
                serde_json::from_slice(&bytes).map_err(|error| Error::format(&path, error))
            });
            match read {
                Ok(Unfinished { key: found, mut segments }) if found == key => {
                    // What follows a shard that is gone was cut behind it, so it is made again too.
                    let whole =
                        |segment: &Segment| segment.shards().all(|(_, shard)| shard.in_place(folder, width));
                    segments.truncate(segments.iter().take_while(|segment| whole(segment)).count());
                    return Ok(Unfinished { key: found, segments });
                }
                Ok(_) if !overwrite => {
                    return Err(Error::config(format!(
                        "{} holds an unfinished corpus with other inputs, tokenizer or options; give overwrite to replace it, or another folder",
                        folder.display()
                    )));
                }
                Err(error) if !overwrite => return Err(error),
                _ => {}
            }
        }
        Ok(Unfinished { key: key.into(), segments: Vec::new() })
    }

    pub fn position(&self) -> Position {
        self.segments.last().map_or(Position::default(), |segment| segment.end)
    }

    /// The run is over and its manifest written.
    pub fn forget(folder: &Path) {
        // Left behind it does no harm: a manifest is looked at first.
        let _ = fs::remove_file(folder.join(PROGRESS));
    }

    /// Shards first, then the note that they are there.
    pub fn commit(&mut self, folder: &Path, segment: Segment) -> Result<()> {
        sync_folder(folder)?;
        self.segments.push(segment);
        let text = serde_json::to_string(self).expect("the state is JSON");
        write_atomic(&folder.join(PROGRESS), text.as_bytes())
    }
}

/// Removes what a killed or replaced run has left: temporary files, and shards that no segment lists.
pub fn remove_leftovers(folder: &Path, segments: &[Segment]) -> Result<()> {
    let kept: HashSet<&str> = segments
        .iter()
        .flat_map(Segment::shards)
        .flat_map(|(_, shard)| [shard.file.as_str(), shard.index.as_str()])
        .collect();
    let failed = |error: std::io::Error| Error::file(folder, "list", &error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let base = name.strip_suffix(TEMPORARY).unwrap_or(&name);
        let is_temporary =
            base.len() < name.len() && (is_shard(base) || base == MANIFEST || base == PROGRESS);
        if is_temporary || is_shard(&name) && !kept.contains(name.as_str()) {
            fs::remove_file(&path).map_err(|error| Error::file(&path, "remove", &error))?;
        }
    }
    Ok(())
}

/// Whether a file has a name that only this module gives.
fn is_shard(name: &str) -> bool {
    [Split::Train, Split::Validation].iter().any(|split| {
        let number = name.strip_prefix(split.name()).and_then(|rest| rest.strip_prefix('-'));
        let number = number.and_then(|rest| rest.strip_suffix(".bin").or(rest.strip_suffix(".idx")));
        number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|digit| digit.is_ascii_digit()))
    })
}
