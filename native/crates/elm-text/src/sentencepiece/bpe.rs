use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use crate::sentencepiece::normalizer::SPACE;
use crate::sentencepiece::vocabulary::Vocabulary;

/// A run of the text that is one symbol so far; the runs form a doubly linked list.
struct Symbol {
    start: usize,
    end: usize,
    previous: usize,
    next: usize,
    /// User-defined symbols are never merged with a neighbour.
    frozen: bool,
}

impl Symbol {
    /// Merged into its left neighbour.
    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

const NONE: usize = usize::MAX;

/// Two neighbours whose union is a piece.
struct Merge {
    score: f32,
    left: usize,
    right: usize,
    length: usize,
}

impl Ord for Merge {
    /// The best score first, then the leftmost.
    fn cmp(&self, other: &Merge) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Merge {
    fn partial_cmp(&self, other: &Merge) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Merge {
    fn eq(&self, other: &Merge) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Merge {}

/// Cuts normalized `text` into pieces: from single characters, merges the neighbours whose union has the best
/// score until none is a piece. Calls `emit(piece, id)` from left to right.
///
/// Where no piece reaches across the start of a word, words are cut one by one: the same pieces in the same order,
/// from queues that stay in the cache.
///
/// Sennrich et al., 2016, https://arxiv.org/abs/1508.07909; order of merges as in SentencePiece.
pub fn encode<'a>(vocabulary: &Vocabulary, text: &'a str, emit: &mut impl FnMut(&'a str, u32)) {
    let mut merger =
        Merger { vocabulary, text, symbols: Vec::new(), heap: BinaryHeap::new(), unused: HashMap::new() };
    let mut start = 0;
    if vocabulary.words_are_apart {
        for (at, _) in text.match_indices(SPACE) {
            if at > start && !text[..at].ends_with(SPACE) {
                merger.encode(&text[start..at], emit);
                start = at;
            }
        }
    }
    merger.encode(&text[start..], emit);
}

struct Merger<'v, 'a> {
    vocabulary: &'v Vocabulary,
    text: &'a str,
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Merge>,
    /// Where a piece that must not be used was put together, to take it apart again.
    unused: HashMap<&'a str, usize>,
}

impl<'a> Merger<'_, 'a> {
    fn encode(&mut self, text: &'a str, emit: &mut impl FnMut(&'a str, u32)) {
        self.text = text;
        self.split();
        self.merge();
        let mut index = if self.symbols.is_empty() { NONE } else { 0 };
        while index != NONE {
            let Symbol { start, end, next, .. } = self.symbols[index];
            take_apart(self.vocabulary, &self.unused, &text[start..end], emit);
            index = next;
        }
    }

    /// Makes a symbol of every character and of every user-defined one.
    fn split(&mut self) {
        self.symbols.clear();
        let mut start = 0;
        while start < self.text.len() {
            let rest = &self.text[start..];
            let defined = self.vocabulary.user_defined.longest(rest.as_bytes());
            let length = match defined {
                Some((length, _)) => length,
                None => rest.chars().next().map_or(1, char::len_utf8),
            };
            let index = self.symbols.len();
            self.symbols.push(Symbol {
                start,
                end: start + length,
                previous: if index == 0 { NONE } else { index - 1 },
                next: index + 1,
                frozen: defined.is_some(),
            });
            start += length;
        }
        if let Some(last) = self.symbols.last_mut() {
            last.next = NONE;
        }
    }

    fn merge(&mut self) {
        for left in 0..self.symbols.len() {
            self.consider(left);
        }
        while let Some(Merge { left, right, length, .. }) = self.heap.pop() {
            let symbols = &mut self.symbols;
            // A merge is out of date when one of the two is part of another by now: then it is empty or longer.
            let current = !symbols[left].is_empty()
                && !symbols[right].is_empty()
                && symbols[right].end - symbols[left].start == length;
            if !current {
                continue;
            }
            let Symbol { end, next, .. } = symbols[right];
            symbols[right].start = end;
            symbols[left].end = end;
            symbols[left].next = next;
            if next != NONE {
                symbols[next].previous = left;
            }
            let previous = symbols[left].previous;
            if previous != NONE {
                self.consider(previous);
            }
            self.consider(left);
        }
    }

    /// Queues the merge of `left` with its neighbour, where that is a piece.
    fn consider(&mut self, left: usize) {
        let right = self.symbols[left].next;
        if right == NONE || self.symbols[left].frozen || self.symbols[right].frozen {
            return;
        }
        let (start, end) = (self.symbols[left].start, self.symbols[right].end);
        let piece = &self.text[start..end];
        let Some(id) = self.vocabulary.mergeable(piece) else { return };
        self.heap.push(Merge { score: self.vocabulary.score(id), left, right, length: piece.len() });
        if self.vocabulary.is_unused(id) {
            self.unused.insert(piece, self.symbols[left].end - start);
        }
    }
}

/// Emits `piece`, or its parts where it is an unused one. A stack, because a model may nest them as deep as it likes.
fn take_apart<'a>(
    vocabulary: &Vocabulary,
    unused: &HashMap<&'a str, usize>,
    piece: &'a str,
    emit: &mut impl FnMut(&'a str, u32),
) {
    let mut stack = vec![piece];
    while let Some(piece) = stack.pop() {
        let id = vocabulary.id(piece);
        match unused.get(piece) {
            Some(&middle) if vocabulary.is_unused(id) => {
                stack.push(&piece[middle..]);
                stack.push(&piece[..middle]);
            }
            _ => emit(piece, id),
        }
    }
}
