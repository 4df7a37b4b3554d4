/// Byte strings, sorted, for finding all those that a text starts with.
///
/// Works as a trie does, by narrowing a range of the sorted list one byte at a time, without a trie's memory.
#[derive(Clone, Debug, Default)]
pub struct PrefixIndex {
    entries: Vec<(Box<[u8]>, u32)>,
}

impl PrefixIndex {
    /// Empty strings are left out: they would match everywhere and consume nothing.
    pub fn new(entries: impl IntoIterator<Item = (Box<[u8]>, u32)>) -> PrefixIndex {
        let mut entries: Vec<_> = entries.into_iter().filter(|(key, _)| !key.is_empty()).collect();
        entries.sort();
        entries.dedup_by(|a, b| a.0 == b.0);
        PrefixIndex { entries }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Calls `found(length, value)` for every entry that `text` starts with, shortest first.
    pub fn each_prefix(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let mut range = &self.entries[..];
        for (i, &byte) in text.iter().enumerate() {
            // In `range` every key is longer than i and equals the text up to i.
            let start = range.partition_point(|(key, _)| key[i] < byte);
            let end = start + range[start..].partition_point(|(key, _)| key[i] == byte);
            range = &range[start..end];
            if let Some((key, value)) = range.first()
                && key.len() == i + 1
            {
                found(i + 1, *value);
                range = &range[1..];
            }
            if range.is_empty() {
                return;
            }
        }
    }

    /// The longest entry that `text` starts with.
    pub fn longest(&self, text: &[u8]) -> Option<(usize, u32)> {
        let mut longest = None;
        self.each_prefix(text, |length, value| longest = Some((length, value)));
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_prefix_and_nothing_else() {
        let keys = ["a", "ab", "abcd", "b", "abd", "\u{2581}", ""];
        let index = PrefixIndex::new(keys.iter().zip(0..).map(|(key, i)| (key.as_bytes().into(), i)));
        for text in ["abcde", "abd", "ac", "", "zab", "\u{2581}a", "abc"] {
            let mut found = Vec::new();
            index.each_prefix(text.as_bytes(), |length, value| found.push((length, value)));
            let mut expected: Vec<_> = (0..)
                .zip(keys)
                .filter(|(_, key)| !key.is_empty() && text.starts_with(key))
                .map(|(i, key)| (key.len(), i))
                .collect();
            expected.sort();
            assert_eq!(found, expected, "{text}");
            assert_eq!(index.longest(text.as_bytes()), expected.last().copied(), "{text}");
        }
    }
}
