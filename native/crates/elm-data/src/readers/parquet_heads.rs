//! What a Parquet file says of itself where its reader makes room before it looks: held to what the file can hold.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::thrift::{LIST, STRUCTURE, Thrift};

/// Bytes that a page may have beside those that its compressed bytes may stand for.
const FREE_BYTES: u64 = 64 << 20;
/// Bytes that a compressed byte may stand for.
const BYTES_PER_BYTE: u64 = 1 << 10;

/// The number of columns that a group of the schema says to have, if it is more than the schema has elements: room is made
/// for that many. What is no schema is told by the reader.
pub fn oversized_group(file: &File) -> io::Result<Option<i64>> {
    const END: u64 = 8;
    let mut reader = BufReader::with_capacity(1 << 12, file.try_clone()?);
    let size = reader.seek(SeekFrom::End(0))?;
    let mut end = [0; 4];
    if size < END {
        return Ok(None);
    }
    reader.seek(SeekFrom::Start(size - END))?;
    reader.read_exact(&mut end)?;
    let length = u64::from(u32::from_le_bytes(end));
    let Some(start) = (size - END).checked_sub(length) else { return Ok(None) };
    reader.seek(SeekFrom::Start(start))?;
    Ok(largest_group(&mut Thrift::new(reader, length)).flatten())
}

/// The schema is the second field of what stands at the end of a file, the number of columns the fifth of its elements.
fn largest_group<R: BufRead>(end: &mut Thrift<R>) -> Option<Option<i64>> {
    let mut last = 0;
    let (count, kind) = loop {
        match end.field(&mut last)?? {
            (2, LIST) => break end.list()?,
            (_, kind) => end.skip(kind)?,
        }
    };
    if kind != STRUCTURE {
        return None;
    }
    for _ in 0..count {
        let mut last = 0;
        while let Some((field, kind)) = end.field(&mut last)? {
            if field != 5 {
                end.skip(kind)?;
                continue;
            }
            let columns = end.whole()?;
            if u64::try_from(columns).is_ok_and(|columns| columns > count) {
                return Some(Some(columns));
            }
        }
    }
    Some(None)
}

/// The size of the first page of a column's part, if there is one, that its bytes do not account for: room for a page is
/// made before anything is decompressed. What is no head of a page ends the search; the reader tells of it.
pub fn oversized_page(file: &File, start: u64, length: u64) -> io::Result<Option<u64>> {
    let mut reader = BufReader::with_capacity(1 << 12, file.try_clone()?);
    reader.seek(SeekFrom::Start(start))?;
    let mut left = length;
    while left > 0 {
        let mut head = Thrift::new(&mut reader, left);
        let Some((whole, stored)) = page_sizes(&mut head) else { return Ok(None) };
        if whole > BYTES_PER_BYTE.saturating_mul(stored).saturating_add(FREE_BYTES) {
            return Ok(Some(whole));
        }
        let Some(rest) = left.checked_sub(head.used).and_then(|rest| rest.checked_sub(stored)) else {
            return Ok(None);
        };
        left = rest;
        reader.seek_relative(stored as i64)?;
    }
    Ok(None)
}

/// Bytes of a page when decompressed, and in the file: the second and the third field of its head.
fn page_sizes<R: BufRead>(head: &mut Thrift<R>) -> Option<(u64, u64)> {
    let (mut whole, mut stored) = (None, None);
    let mut last = 0;
    while let Some((field, kind)) = head.field(&mut last)? {
        match field {
            2 => whole = Some(u64::try_from(head.whole()?).ok()?),
            3 => stored = Some(u64::try_from(head.whole()?).ok()?),
            _ => head.skip(kind)?,
        }
    }
    Some((whole?, stored?))
}
