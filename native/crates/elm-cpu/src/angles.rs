//! The table of cosines and sines of rotary embeddings, made once a call and read by all heads.

use elm_core::{KernelCall, View};

use crate::element::Real;
use crate::scratch;
use crate::view::{CallExt, Ptr, ptr};

/// Tokens whose angles are stepped from one exact angle. A step turns by complex multiplication in f64, which adds
/// about 2⁻⁵³ to the error: far below what f32 can hold after this many.
const TOKENS: usize = 64;

/// Cosines, then sines, of `dim / 2` components for each token.
pub struct Angles<R> {
    table: Ptr<R>,
    half: usize,
    tokens: usize,
    /// Sequences with offsets of their own have tables of their own.
    per_sequence: bool,
}

/// Elements of the table.
pub fn elements(batch: usize, tokens: usize, dim: usize, has_offset: bool) -> usize {
    (if has_offset { batch } else { 1 }) * tokens * dim
}

impl<R: Real> Angles<R> {
    /// Fills the workspace of `call` from element `start` on. `sizes` are batch, tokens and the size of a head.
    pub fn new(
        call: &KernelCall,
        start: usize,
        [batch, tokens, dim]: [usize; 3],
        offset: Option<&View>,
    ) -> Angles<R> {
        let half = dim / 2;
        let table = Ptr::of(call.scratch::<R>(start, elements(batch, tokens, dim, offset.is_some())));
        let angles = Angles { table, half, tokens, per_sequence: offset.is_some() };
        let base = call.attrs.f64("base");
        let frequencies: Vec<f64> = (0..half).map(|j| base.powf(-2.0 * j as f64 / dim as f64)).collect();
        let steps: Vec<(f64, f64)> = frequencies.iter().map(|f| f.sin_cos()).collect();
        let shifts: Vec<f64> = match offset {
            // SAFETY: `offset` has one element a sequence.
            Some(offset) => (0..batch as isize)
                .map(|b| f64::from(unsafe { ptr::<i32>(offset).read(b * offset.layout.strides[0]) }))
                .collect(),
            None => vec![0.0; batch.min(1)],
        };
        // f64 has no digits to spare: there every angle is computed by itself.
        let tokens_a_block = if size_of::<R>() == 8 { 1 } else { TOKENS };
        let blocks = tokens.div_ceil(tokens_a_block);
        call.pool().run(
            shifts.len() * blocks,
            #[inline(always)]
            |task| {
                let (b, first) = (task / blocks, task % blocks * tokens_a_block);
                scratch::with::<f64, _>(
                    2 * half,
                    #[inline(always)]
                    |state| {
                        let (cos, sin) = state.split_at_mut(half);
                        for (j, frequency) in frequencies.iter().enumerate() {
                            (sin[j], cos[j]) = ((shifts[b] + first as f64) * frequency).sin_cos();
                        }
                        for t in first..(first + tokens_a_block).min(tokens) {
                            // SAFETY: every row of the table belongs to one task.
                            let row = unsafe { table.slice_mut((b * tokens + t) * dim, 2 * half) };
                            let (row_cos, row_sin) = row.split_at_mut(half);
                            row_cos.iter_mut().zip(&*cos).for_each(|(to, from)| *to = R::real(*from));
                            row_sin.iter_mut().zip(&*sin).for_each(|(to, from)| *to = R::real(*from));
                            for ((cos, sin), (step_sin, step_cos)) in
                                cos.iter_mut().zip(&mut *sin).zip(&steps)
                            {
                                (*cos, *sin) =
                                    (*cos * step_cos - *sin * step_sin, *sin * step_cos + *cos * step_sin);
                            }
                        }
                    },
                );
            },
        );
        angles
    }

    /// Cosines and sines of token `t` of sequence `b`.
    #[inline(always)]
    pub fn row(&self, b: usize, t: usize) -> (&[R], &[R]) {
        let row = if self.per_sequence { b * self.tokens + t } else { t };
        // SAFETY: `new` has filled this row, and nobody writes the table any more.
        unsafe { self.table.slice(row * 2 * self.half, 2 * self.half) }.split_at(self.half)
    }
}

/// `out = [x₁ · cos − x₂ · sin, x₂ · cos + x₁ · sin]` for the halves of `x`, with `sign` times the sines.
#[inline(always)]
pub fn turn<R: Real>(x: &[R], (cos, sin): (&[R], &[R]), sign: R, out: &mut [R]) {
    let (x1, x2) = x.split_at(x.len() / 2);
    let (low, high) = out.split_at_mut(x1.len());
    // A loop for each half: one for both has more pairs of slices than the compiler checks for overlap.
    for (((low, &x1), &x2), (&cos, &sin)) in low.iter_mut().zip(x1).zip(x2).zip(cos.iter().zip(sin)) {
        *low = x1 * cos - x2 * (sin * sign);
    }
    for (((high, &x1), &x2), (&cos, &sin)) in high.iter_mut().zip(x1).zip(x2).zip(cos.iter().zip(sin)) {
        *high = x2 * cos + x1 * (sin * sign);
    }
}
