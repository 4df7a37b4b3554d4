use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Bytes that a page may have beside those that its compressed bytes may stand for.
const FREE_BYTES: u64 = 64 << 20;
/// Bytes that a compressed byte may stand for.
const BYTES_PER_BYTE: u64 = 1 << 10;

/// The size of the first page of a column's part, if there is one, that its bytes do not account for: room for a page is
/// made before anything is decompressed. What is no head of a page ends the search; the reader tells of it.
pub fn oversized_page(file: &File, start: u64, length: u64) -> io::Result<Option<u64>> {
    let mut reader = BufReader::with_capacity(1 << 12, file.try_clone()?);
    reader.seek(SeekFrom::Start(start))?;
    let mut left = length;
    while left > 0 {
        let mut head = Head { input: (&mut reader).take(left), used: 0 };
        let Some((whole, stored)) = head.sizes() else { return Ok(None) };
        if whole > FREE_BYTES + BYTES_PER_BYTE * stored {
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

/// The head of a page, a structure in Thrift's compact form.
struct Head<R> {
    input: R,
    used: u64,
}

/// Structures in structures; a head has three.
const MAX_DEPTH: usize = 16;

impl<R: BufRead> Head<R> {
    /// Bytes of the page when decompressed, and in the file.
    fn sizes(&mut self) -> Option<(u64, u64)> {
        let (mut whole, mut stored) = (None, None);
        let mut last = 0_i64;
        loop {
            let byte = self.byte()?;
            let kind = byte & 15;
            match (byte, byte >> 4) {
                (0, _) => return Some((whole?, stored?)),
                (_, 0) => last = self.whole()?,
                (_, step) => last += i64::from(step),
            }
            match last {
                2 => whole = Some(u64::try_from(self.whole()?).ok()?),
                3 => stored = Some(u64::try_from(self.whole()?).ok()?),
                _ => self.skip(kind, 0)?,
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1 | 2 => {}
            3 => self.pass(1)?,
            4..=6 => _ = self.varint()?,
            7 => self.pass(8)?,
            8 => {
                let length = self.varint()?;
                self.pass(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                for _ in 0..count {
                    // A truth value is a byte in a list.
                    let of = if head & 15 <= 2 { 3 } else { head & 15 };
                    self.skip(of, depth)?;
                }
            }
            12 if depth < MAX_DEPTH => loop {
                let byte = self.byte()?;
                if byte == 0 {
                    break;
                }
                if byte >> 4 == 0 {
                    self.whole()?;
                }
                self.skip(byte & 15, depth + 1)?;
            },
            _ => return None,
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte).ok()?;
        self.used += 1;
        Some(byte[0])
    }

    fn pass(&mut self, length: u64) -> Option<()> {
        let passed = io::copy(&mut self.input.by_ref().take(length), &mut io::sink()).ok()?;
        self.used += passed;
        (passed == length).then_some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    /// A whole number with its sign in the lowest bit.
    fn whole(&mut self) -> Option<i64> {
        self.varint().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }
}
