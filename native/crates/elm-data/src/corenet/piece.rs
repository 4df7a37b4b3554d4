use unicode_normalization::UnicodeNormalization;

/// Cuts a document at single spaces into pieces of `words` words. Two spaces enclose an empty word.
pub fn split(text: &str, words: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut count) = (0, 1);
    for (space, _) in text.match_indices(' ') {
        if count == words {
            pieces.push(&text[start..space]);
            start = space + 1;
            count = 0;
        }
        count += 1;
    }
    pieces.push(&text[start..]);
    pieces
}

/// Characters that count for the filter: in lower case, without ASCII punctuation, whitespace collapsed and trimmed.
pub fn characters(text: &str) -> usize {
    let lower = text.to_lowercase();
    let (mut count, mut words, mut in_word) = (0, 0, false);
    for c in lower.chars().filter(|c| !c.is_ascii_punctuation()) {
        // Python counts the four information separators as whitespace too.
        let space = c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
        if !space {
            count += 1;
            words += usize::from(!in_word);
        }
        in_word = !space;
    }
    count + usize::saturating_sub(words, 1)
}

pub fn nfc(text: &str) -> String {
    text.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_is_on_one_space_and_loses_nothing() {
        assert_eq!(split("a b  c", 2), ["a b", " c"]);
        assert_eq!(split("a b  c", 3), ["a b ", "c"]);
        assert_eq!(split("", 3), [""]);
        assert_eq!(split("a ", 1), ["a", ""]);
        assert_eq!(split("a\tb\nc d", 1), ["a\tb\nc", "d"]);
        let text = "one  two three   four five ";
        for words in 1..8 {
            let pieces = split(text, words);
            assert_eq!(pieces.join(" "), text);
            assert_eq!(pieces.len(), text.split(' ').count().div_ceil(words));
        }
    }

    #[test]
    fn the_filter_counts_what_is_left_of_a_text() {
        assert_eq!(characters("  Hello,\n\n  World!  "), "hello world".len());
        assert_eq!(characters("... !!!"), 0);
        assert_eq!(characters("a - b"), "a b".len());
        assert_eq!(characters("\u{c9}t\u{e9}"), 3);
        assert_eq!(characters("a\u{1c}b"), 3);
    }
}
