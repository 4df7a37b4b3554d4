//! What attention and its gradient share: blocks of queries and keys, which of them meet, and masks.
//!
//! Scores of a block are kept transposed, one row a key: then softmax runs down columns, a vector of queries at a
//! time, keys are read where they lie, and only the queries have to be turned once.

use elm_core::{KernelCall, KernelError, View};

use crate::element::{Element, Float, Real};
use crate::small_product::{Heads, Strided};
use crate::view::{CallExt, Ptr, ptr, slice};

/// Most queries of a block: the columns of a block of scores.
pub const QUERIES: usize = 64;
/// Most keys of a block: its rows. A block of f32 scores takes 32 KiB.
pub const KEYS: usize = 128;

/// The sizes and masks of a call.
pub struct Problem<'a> {
    pub batch: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub queries: usize,
    pub keys: usize,
    pub dim: usize,
    pub scale: f64,
    causal: bool,
    documents: Option<&'a [i32]>,
    lengths: Option<&'a [i32]>,
}

/// Bytes of the workspace that [`Problem::new`] takes from its start.
pub fn mask_bytes(inputs: &[Option<View>], extra: usize) -> usize {
    inputs[extra..].iter().flatten().map(View::bytes).sum::<usize>().next_multiple_of(64)
}

impl<'a> Problem<'a> {
    /// `q` is input `first`, `documents` is input `extra`.
    pub fn new(call: &'a KernelCall, first: usize, extra: usize) -> Result<Problem<'a>, KernelError> {
        let (q, k) = (call.input(first).shape(), call.input(first + 1).shape());
        let dim = q[3];
        let given = call.attrs.is_given("scale");
        let scale = if given { call.attrs.f64("scale") } else { 1.0 / (dim as f64).sqrt() };
        let documents = call.optional_input(extra).map(|view| row_major(call, view, 0));
        let used = documents.map_or(0, <[i32]>::len);
        let lengths = call.optional_input(extra + 1).map(|view| row_major(call, view, used));
        for (b, &length) in lengths.unwrap_or(&[]).iter().enumerate() {
            if length < 0 || length as usize > k[2] {
                return Err(KernelError::index(format!(
                    "kv_length[{b}] must be in 0 ..= {} (the keys), got {length}",
                    k[2]
                )));
            }
        }
        Ok(Problem {
            batch: q[0],
            heads: q[1],
            kv_heads: k[1],
            queries: q[2],
            keys: k[2],
            dim,
            scale,
            causal: call.attrs.bool("causal"),
            documents,
            lengths,
        })
    }

    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn length(&self, b: usize) -> usize {
        self.lengths.map_or(self.keys, |lengths| lengths[b] as usize)
    }

    fn documents(&self, b: usize) -> Option<&'a [i32]> {
        self.documents.map(|documents| &documents[b * self.keys..(b + 1) * self.keys])
    }
}

/// A small input of one or two axes, moved to the workspace unless it is row-major already.
fn row_major<'a>(call: &'a KernelCall, view: &'a View, used: usize) -> &'a [i32] {
    if view.layout.is_contiguous() {
        return slice::<i32>(view);
    }
    let copy = call.scratch::<i32>(used, view.elements());
    let (start, columns) = (ptr::<i32>(view), view.shape()[view.shape().len() - 1]);
    let steps = &view.layout.strides;
    let (down, along) = if steps.len() == 2 { (steps[0], steps[1]) } else { (0, steps[0]) };
    for (i, value) in copy.iter_mut().enumerate() {
        let (row, column) = ((i / columns) as isize, (i % columns) as isize);
        // SAFETY: the index lies inside the view.
        *value = unsafe { start.read(row * down + column * along) };
    }
    copy
}

/// Consecutive rows of the queries that share a kv head; row `r` is token `r mod queries` of head `r / queries`.
pub struct QueryBlock {
    pub first: usize,
    pub rows: usize,
    /// Columns of a block of scores: a power of two; those behind `rows` are padding.
    pub width: usize,
    /// The last key that a row may see by its position, -1 for none.
    last: [i32; QUERIES],
    document: [i32; QUERIES],
    /// Smallest and largest document of rows that see anything.
    documents: (i32, i32),
}

/// Keys `start .. start + len`.
#[derive(Clone, Copy)]
pub struct KeyBlock {
    pub start: usize,
    pub len: usize,
    /// Some row of the query block does not see some key.
    pub masked: bool,
}

impl QueryBlock {
    /// The block from row `first` on of the `total` rows of a kv head in sequence `b`.
    pub fn new(problem: &Problem, b: usize, first: usize, total: usize) -> QueryBlock {
        let rows = QUERIES.min(total - first);
        let length = problem.length(b) as i64;
        let of_sequence = problem.documents(b);
        let mut block = QueryBlock {
            first,
            rows,
            width: rows.next_power_of_two().max(4),
            last: [-1; QUERIES],
            document: [0; QUERIES],
            documents: (i32::MAX, i32::MIN),
        };
        for i in 0..block.width {
            // Padding repeats the last row, so that it changes no bound.
            let token = (first + i.min(rows - 1)) % problem.queries;
            let position = length - problem.queries as i64 + token as i64;
            block.last[i] = if problem.causal { position } else { length - 1 }.max(-1) as i32;
            if let Some(documents) = of_sequence {
                if position < 0 {
                    block.last[i] = -1;
                } else {
                    let document = documents[position as usize];
                    block.document[i] = document;
                    block.documents.0 = block.documents.0.min(document);
                    block.documents.1 = block.documents.1.max(document);
                }
            }
        }
        block
    }

    /// The blocks of keys that some row sees, from the first key on.
    pub fn key_blocks(&self, problem: &Problem, b: usize) -> impl Iterator<Item = KeyBlock> {
        let last = &self.last[..self.width];
        let limit = (last.iter().max().copied().unwrap_or(-1) + 1) as usize;
        let open = (last.iter().min().copied().unwrap_or(-1) + 1) as usize;
        let documents = problem.documents(b);
        (0..limit).step_by(KEYS).filter_map(move |start| {
            let len = KEYS.min(limit - start);
            let mut masked = start + len > open;
            if let Some(documents) = documents {
                let keys = &documents[start..start + len];
                let low = keys.iter().copied().fold(i32::MAX, i32::min);
                let high = keys.iter().copied().fold(i32::MIN, i32::max);
                // Ranges that do not meet have no document in common.
                if low > self.documents.1 || high < self.documents.0 {
                    return None;
                }
                masked |= low != high || self.documents != (low, high);
            }
            Some(KeyBlock { start, len, masked })
        })
    }

    /// Puts `hidden` wherever a row does not see a key; `scores` has a row of `width` for each key.
    pub fn mask<R: Real>(&self, problem: &Problem, b: usize, keys: KeyBlock, scores: &mut [R], hidden: R) {
        if !keys.masked {
            return;
        }
        let documents = problem.documents(b);
        for (key, scores) in (keys.start..).zip(scores.chunks_exact_mut(self.width)) {
            let (last, document) = (&self.last[..scores.len()], &self.document[..scores.len()]);
            match documents {
                None => {
                    for (score, last) in scores.iter_mut().zip(last) {
                        *score = if key as i32 <= *last { *score } else { hidden };
                    }
                }
                Some(documents) => {
                    let own = documents[key];
                    for ((score, last), document) in scores.iter_mut().zip(last).zip(document) {
                        let seen = (key as i32 <= *last) & (own == *document);
                        *score = if seen { *score } else { hidden };
                    }
                }
            }
        }
    }

    /// The rows of this block in `[batch, heads, tokens, dim]`, from head `head` on, as they lie or in `buffer`.
    pub fn load<T: Float>(
        &self,
        from: Heads<T>,
        b: usize,
        head: usize,
        buffer: &mut [T::Acc],
    ) -> Strided<T::Acc> {
        let Heads { tokens: queries, dim, .. } = from;
        let (one, other) = (self.first / queries, (self.first + self.rows - 1) / queries);
        if one == other {
            let rows = from.matrix(b, head + one).at_row(self.first % queries);
            return widen(rows, self.rows, dim, buffer);
        }
        let mut row = 0;
        while row < self.rows {
            let at = self.first + row;
            let count = (queries - at % queries).min(self.rows - row);
            let rows = from.matrix(b, head + at / queries).at_row(at % queries);
            copy(rows, count, dim, &mut buffer[row * dim..(row + count) * dim]);
            row += count;
        }
        Strided::dense(Ptr::of(buffer), dim)
    }

    /// `rows · factor` transposed: one row of `width` for each component; padding is 0.
    pub fn transpose<R: Real>(&self, rows: Strided<R>, factor: R, out: &mut [R]) {
        for (d, out) in out.chunks_exact_mut(self.width).enumerate() {
            let column = rows.start.moved(d as isize * rows.columns);
            let (values, padding) = out.split_at_mut(self.rows);
            for (i, value) in values.iter_mut().enumerate() {
                // SAFETY: `rows` holds `self.rows` rows, and `out` has a chunk for each of its columns.
                *value = factor * unsafe { column.read(i as isize * rows.rows) };
            }
            padding.fill(R::ZERO);
        }
    }
}

/// `rows` rows of `dim` as [`Float::Acc`], where they lie if that serves, else in `buffer`.
///
/// Rows a whole page apart all fall into the same sets of the cache: they are better copied.
pub fn widen<T: Float>(from: Strided<T>, rows: usize, dim: usize, buffer: &mut [T::Acc]) -> Strided<T::Acc> {
    let same_set = rows > 8 && (from.rows * size_of::<T>() as isize) % 4096 == 0;
    if T::DTYPE == <T::Acc as Element>::DTYPE && from.columns == 1 && !same_set {
        return Strided { start: from.start.cast(), rows: from.rows, columns: 1 };
    }
    copy(from, rows, dim, buffer);
    Strided::dense(Ptr::of(buffer), dim)
}

fn copy<T: Float>(from: Strided<T>, rows: usize, dim: usize, to: &mut [T::Acc]) {
    for (row, to) in to.chunks_exact_mut(dim).take(rows).enumerate() {
        let from = from.at_row(row);
        // SAFETY: the rows lie inside an input, which nobody writes while its kernel runs.
        unsafe {
            if from.columns == 1 {
                let from = from.start.slice(0, dim);
                to.iter_mut().zip(from).for_each(|(to, from)| *to = from.load());
            } else {
                for (d, to) in to.iter_mut().enumerate() {
                    *to = from.start.read(d as isize * from.columns).load();
                }
            }
        }
    }
}

/// Calls `body` for every score with its lane. All loops of softmax run over 64 lanes, which vectorize; where a
/// block has fewer columns, the lanes hold several keys of one query: lane `i` belongs to column `i mod width`.
#[inline(always)]
pub fn lanes<R: Real>(scores: &mut [R], mut body: impl FnMut(&mut R, usize)) {
    let (groups, rest) = scores.as_chunks_mut::<QUERIES>();
    for group in groups {
        for (i, score) in group.iter_mut().enumerate() {
            body(score, i);
        }
    }
    for (i, score) in rest.iter_mut().enumerate() {
        body(score, i);
    }
}

/// The same over two blocks at once.
#[inline(always)]
pub fn lanes2<R: Real>(a: &mut [R], b: &[R], mut body: impl FnMut(&mut R, R, usize)) {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks_mut::<QUERIES>(), b.as_chunks::<QUERIES>());
    for (a, b) in a.iter_mut().zip(b) {
        for (i, (a, b)) in a.iter_mut().zip(b).enumerate() {
            body(a, *b, i);
        }
    }
    for (i, (a, b)) in rest_a.iter_mut().zip(rest_b).enumerate() {
        body(a, *b, i);
    }
}
