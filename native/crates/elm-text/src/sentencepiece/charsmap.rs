use crate::error::{Error, ErrorKind, Result};

/// A compiled normalization rule: a double-array trie of byte strings, each with its replacement.
///
/// Layout: u32 size of the trie in bytes, the trie's u32 units, then the replacements, each ended by a zero byte.
/// A unit holds, from the low end: label (8 bits), has-leaf (bit 8), extension (bit 9), offset (22 bits); a leaf
/// has bit 31 set and a value below. See "Darts-clone", <https://github.com/s-yata/darts-clone>.
#[derive(Clone, Debug)]
pub struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    pub fn parse(bytes: &[u8]) -> Result<Charsmap> {
        let error = |what: &str| Error::new(ErrorKind::Format, format!("normalization map: {what}"));
        let (head, rest) = bytes.split_at_checked(4).ok_or_else(|| error("shorter than its header"))?;
        let size = u32::from_le_bytes(head.try_into().expect("4 bytes")) as usize;
        if size == 0 || !size.is_multiple_of(4) {
            return Err(error("a trie that is not a whole number of units"));
        }
        let (trie, text) = rest.split_at_checked(size).ok_or_else(|| error("a trie longer than the map"))?;
        let text = std::str::from_utf8(text).map_err(|_| error("replacements that are not UTF-8"))?;
        let units =
            trie.chunks_exact(4).map(|unit| u32::from_le_bytes(unit.try_into().expect("4 bytes"))).collect();
        Ok(Charsmap { units, replacements: text.to_owned() })
    }

    /// The longest rule that `text` starts with: its length and its replacement.
    ///
    /// A link or value outside the map, which only a damaged file has, ends the search.
    pub fn longest(&self, text: &[u8]) -> Option<(usize, &str)> {
        let offset = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
        let mut longest = None;
        let mut node = offset(*self.units.first()?);
        for (i, &byte) in text.iter().enumerate() {
            // A zero byte would be the label of leaves.
            if byte == 0 {
                break;
            }
            node ^= byte as usize;
            let Some(&unit) = self.units.get(node) else { break };
            if unit & (1 << 31 | 0xff) != byte as u32 {
                break;
            }
            node ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let Some(&leaf) = self.units.get(node) else { break };
                longest = Some((i + 1, leaf & 0x7fff_ffff));
            }
        }
        let (length, start) = longest?;
        let replacement = self.replacements.get(start as usize..)?;
        Some((length, replacement.split('\0').next().unwrap_or("")))
    }
}
