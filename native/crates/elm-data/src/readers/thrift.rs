use std::io::{self, BufRead, Read, Take};

/// Structures in structures; Parquet has four.
const MAX_DEPTH: usize = 16;

/// Values in Thrift's compact form, as many as one looks for; all else is skipped. `None` is what cannot be one, or ends.
///
/// <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>
pub struct Thrift<R> {
    input: Take<R>,
    pub used: u64,
}

/// Kinds of values.
pub const LIST: u8 = 9;
pub const STRUCTURE: u8 = 12;

impl<R: BufRead> Thrift<R> {
    /// Reads at most `length` bytes.
    pub fn new(input: R, length: u64) -> Thrift<R> {
        Thrift { input: input.take(length), used: 0 }
    }

    /// Number and kind of the next field of a structure; `Some(None)` at its end. `last` is the number of the field before.
    pub fn field(&mut self, last: &mut i64) -> Option<Option<(i64, u8)>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *last = if byte >> 4 == 0 { self.whole()? } else { last.checked_add(i64::from(byte >> 4))? };
        Some(Some((*last, byte & 15)))
    }

    /// Number and kind of the values of a list.
    pub fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        Some((count, head & 15))
    }

    /// A whole number with its sign in the lowest bit.
    pub fn whole(&mut self) -> Option<i64> {
        self.varint().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn skip(&mut self, kind: u8) -> Option<()> {
        self.skip_at(kind, 0)
    }

    fn skip_at(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1 | 2 => {}
            3 => self.pass(1)?,
            4..=6 => _ = self.varint()?,
            7 => self.pass(8)?,
            8 => {
                let length = self.varint()?;
                self.pass(length)?;
            }
            LIST | 10 if depth < MAX_DEPTH => {
                let (count, of) = self.list()?;
                for _ in 0..count {
                    // A truth value is a byte in a list.
                    self.skip_at(if of <= 2 { 3 } else { of }, depth + 1)?;
                }
            }
            STRUCTURE if depth < MAX_DEPTH => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip_at(kind, depth + 1)?;
                }
            }
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
        varint(|| self.byte())
    }
}

/// A whole number of seven bits a byte, the lowest first; Parquet's own lists of numbers have the same.
pub fn varint(mut next: impl FnMut() -> Option<u8>) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = next()?;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}
