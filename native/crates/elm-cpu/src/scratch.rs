//! Buffers of one thread that its tasks reuse, for kernels with more tasks than a workspace should have parts.

use std::cell::Cell;

use crate::element::Real;

/// A cache line; its alignment is that of the buffers.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [u64; 8]);

thread_local! {
    static BUFFER: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Elements of a buffer part of `len` elements, rounded up so that the next part is aligned as well.
pub fn aligned(len: usize) -> usize {
    len.next_multiple_of(64)
}

/// Calls `body` with `len` elements of arbitrary but initialized values.
#[inline(always)]
pub fn with<R: Real, Y>(len: usize, body: impl FnOnce(&mut [R]) -> Y) -> Y {
    // A nested call finds the cell empty and gets a buffer of its own.
    let mut lines = BUFFER.take();
    let wanted = (len * size_of::<R>()).div_ceil(size_of::<Line>());
    if lines.len() < wanted {
        lines.resize(wanted, Line([0; 8]));
    }
    // SAFETY: the lines hold at least `len` elements, are aligned for them, and every bit pattern is a number;
    // the vector is not touched while the slice lives.
    let slice = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<R>(), len) };
    let result = body(slice);
    BUFFER.set(lines);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_buffers_do_not_overlap() {
        with::<f32, _>(100, |outer| {
            outer.fill(1.0);
            with::<f64, _>(200, |inner| inner.fill(2.0));
            assert!(outer.iter().all(|&v| v == 1.0));
        });
        with::<f32, _>(3, |again| assert_eq!((again.len(), again.as_ptr() as usize % 64), (3, 0)));
    }
}
