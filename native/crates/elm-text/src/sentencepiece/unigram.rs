use crate::sentencepiece::vocabulary::Vocabulary;

/// What an unknown character costs below the least likely piece.
const UNKNOWN_PENALTY: f32 = 10.0;

#[derive(Clone, Copy)]
struct Node {
    /// Start of the last piece of the best path to here; `usize::MAX` where no path ends.
    start: usize,
    id: u32,
    score: f32,
}

/// Cuts normalized `text` into the pieces with the greatest summed log-probability (Viterbi). Calls
/// `emit(piece, id)` from left to right.
///
/// Kudo, 2018, https://arxiv.org/abs/1804.10959. Scores are added in f64 and kept in f32, and the first of two
/// equal paths stays, so that ties fall as in SentencePiece.
pub fn encode<'a>(vocabulary: &Vocabulary, text: &'a str, emit: &mut impl FnMut(&'a str, u32)) {
    let bytes = text.as_bytes();
    let unknown = f64::from(vocabulary.min_score - UNKNOWN_PENALTY);
    let mut best = vec![Node { start: usize::MAX, id: 0, score: 0.0 }; bytes.len() + 1];
    let mut start = 0;
    while start < bytes.len() {
        let here = f64::from(best[start].score);
        let character = text[start..].chars().next().map_or(1, char::len_utf8);
        let mut has_character = false;
        vocabulary.pieces_index.each_prefix(&bytes[start..], |length, id| {
            if vocabulary.is_unused(id) {
                return;
            }
            // A user-defined symbol always wins over its parts.
            let score = if vocabulary.is_user_defined(id) {
                f64::from(length as f32 * vocabulary.max_score) - 0.1
            } else {
                f64::from(vocabulary.score(id))
            };
            improve(&mut best[start + length], start, id, score + here);
            has_character |= length == character;
        });
        if !has_character {
            improve(&mut best[start + character], start, vocabulary.unknown, unknown + here);
        }
        start += character;
    }

    let mut path = Vec::new();
    let mut end = bytes.len();
    while end > 0 {
        let node = best[end];
        path.push((&text[node.start..end], node.id));
        end = node.start;
    }
    path.into_iter().rev().for_each(|(piece, id)| emit(piece, id));
}

fn improve(node: &mut Node, start: usize, id: u32, score: f64) {
    if node.start == usize::MAX || score > f64::from(node.score) {
        *node = Node { start, id, score: score as f32 };
    }
}
