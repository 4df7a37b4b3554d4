use crate::error::{Error, ErrorKind, Result};

/// One field's value; byte strings are slices of the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

/// Reads the fields of one protobuf message in order, allocating nothing.
///
/// Wire format: <https://protobuf.dev/programming-guides/encoding/>. Groups are refused: no file read here has them.
pub struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Where `bytes` starts in the file, for messages of errors.
    base: usize,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8], base: usize) -> Fields<'a> {
        Fields { bytes, position: 0, base }
    }

    /// Offset in the file of what is read next.
    pub fn offset(&self) -> usize {
        self.base + self.position
    }

    pub fn error(&self, message: &str) -> Error {
        Error::new(ErrorKind::Format, format!("{message} at byte {}", self.offset()))
    }

    /// The next field: its number, its value, and where the value starts in the file.
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>, usize)>> {
        if self.position == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|&n| n > 0);
        let number = number.ok_or_else(|| self.error("a field number out of range"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().expect("8 bytes"))),
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().expect("4 bytes"))),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| self.error("a length out of range"))?;
                Value::Bytes(self.take(length)?)
            }
            _ => return Err(self.error("an unknown wire type")),
        };
        let start = match value {
            Value::Bytes(bytes) => self.offset() - bytes.len(),
            _ => self.offset(),
        };
        Ok(Some((number, value, start)))
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.position).ok_or_else(|| self.error("a number is cut off"))?;
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("a number longer than 64 bits"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        if length > rest.len() {
            let message = format!("a field of {length} bytes where {} are left", rest.len());
            return Err(self.error(&message));
        }
        self.position += length;
        Ok(&rest[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_wire_types() {
        let message = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0, 0, 0];
        let mut fields = Fields::new(&message, 100);
        assert_eq!(fields.next_field().unwrap(), Some((1, Value::Varint(150), 103)));
        assert_eq!(fields.next_field().unwrap(), Some((2, Value::Bytes(b"hi"), 105)));
        assert_eq!(fields.next_field().unwrap(), Some((3, Value::Fixed32(1), 112)));
        assert_eq!(fields.next_field().unwrap(), Some((4, Value::Fixed64(2), 121)));
        assert_eq!(fields.next_field().unwrap(), None);
    }

    #[test]
    fn broken_messages_are_errors_with_an_offset() {
        for message in [
            &[0x12, 5, 1][..],
            &[0x08],
            &[0x0b],
            &[0x00],
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            let error = Fields::new(message, 0).next_field().unwrap_err();
            assert!(error.kind == ErrorKind::Format && error.message.contains("at byte"), "{error}");
        }
    }
}
