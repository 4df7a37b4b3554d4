//! Indices of a call: checked before anything is written, counted from the start, and sorted by what they name.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use elm_core::{KernelError, Layout, View};

use crate::Pool;
use crate::nd::Walk;
use crate::view::{Ptr, ptr};

/// Reads indices row-major into `out`, negative ones counted from the end of an axis of `size`.
///
/// The first one out of range is an error.
pub fn load<'a>(
    pool: &Pool,
    indices: &View,
    size: usize,
    out: &'a mut [u32],
) -> Result<&'a [u32], KernelError> {
    let dense = Layout::contiguous(indices.shape());
    let walk = Walk::new([&dense, &indices.layout]);
    let (source, target) = (ptr::<i32>(indices), Ptr::of(out));
    let first_bad = AtomicUsize::new(usize::MAX);
    let [down, step] = walk.steps;
    let size = u32::try_from(size).expect("the shape rule wants an axis that an i32 can index");
    // In u32, a negative index below the start wraps around to a number past the end.
    let wrap = |index: i32| (index as u32).wrapping_add(if index < 0 { size } else { 0 });
    walk.run(pool, |[at, from], len| {
        let mut all_inside = true;
        for i in 0..len as isize {
            // SAFETY: the walk stays inside the indices and visits each element of `out` once.
            let id = unsafe { wrap(source.read(from + i * step)) };
            all_inside &= id < size;
            // SAFETY: as above.
            unsafe { target.write(at + i * down, id) };
        }
        if !all_inside {
            // SAFETY: as above; this task wrote these elements.
            let bad = (0..len as isize).find(|i| unsafe { target.read(at + i * down) } >= size);
            first_bad.fetch_min((at + bad.unwrap_or(0) * down) as usize, Relaxed);
        }
    });
    match first_bad.into_inner() {
        usize::MAX => Ok(out),
        flat => Err(out_of_range(indices, flat, size as usize)),
    }
}

fn out_of_range(indices: &View, flat: usize, size: usize) -> KernelError {
    let (mut position, mut at, mut rest) = (Vec::new(), indices.layout.offset as isize, flat);
    for (&dim, &stride) in indices.shape().iter().zip(&indices.layout.strides).rev() {
        position.insert(0, rest % dim);
        at += (rest % dim) as isize * stride;
        rest /= dim;
    }
    let whole = View { layout: Layout { offset: 0, ..indices.layout.clone() }, ..indices.clone() };
    // SAFETY: the position is one of the view's.
    let value = unsafe { ptr::<i32>(&whole).read(at) };
    KernelError::index(format!(
        "index {value} at position {position:?} of the indices is out of range for an axis of size {size} (allowed: \
         {} to {})",
        -(size as i64),
        size as i64 - 1
    ))
}

/// The positions of ids sorted by id, equal ids in their order: those of `id` are
/// `order[starts[id] .. starts[id + 1]]`.
pub struct ByRow<'a> {
    starts: &'a [u32],
    order: &'a [u32],
}

impl<'a> ByRow<'a> {
    /// Sorts by counting. `starts` has one element more than there are rows, `order` one for each id.
    pub fn sort(ids: &[u32], starts: &'a mut [u32], order: &'a mut [u32]) -> ByRow<'a> {
        assert!(u32::try_from(ids.len()).is_ok(), "more than 2³² indices in one call");
        starts.fill(0);
        // Counts go two places ahead, so that filling `order` leaves each start where it belongs.
        let rows = starts.len() - 1;
        ids.iter().filter(|&&id| (id as usize) + 1 < rows).for_each(|&id| starts[id as usize + 2] += 1);
        (2..=rows).for_each(|row| starts[row] += starts[row - 1]);
        for (position, &id) in ids.iter().enumerate() {
            let next = &mut starts[id as usize + 1];
            order[*next as usize] = position as u32;
            *next += 1;
        }
        ByRow { starts, order }
    }

    /// Where `row` occurs, in rising order.
    pub fn positions(&self, row: usize) -> &'a [u32] {
        &self.order[self.starts[row] as usize..self.starts[row + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use elm_core::{DType, ErrorCode};

    use super::*;

    #[test]
    fn ids_are_sorted_stably_by_row() {
        let ids = [3, 1, 3, 0, 4, 1, 3];
        let (mut starts, mut order) = (vec![9; 6], vec![9; ids.len()]);
        let sorted = ByRow::sort(&ids, &mut starts, &mut order);
        let all: Vec<&[u32]> = (0..5).map(|row| sorted.positions(row)).collect();
        assert_eq!(all, [&[3][..], &[1, 5], &[], &[0, 2, 6], &[4]]);
        let none = ByRow::sort(&[], &mut starts[..1], &mut []);
        assert!(none.starts == [0]);
        let one = ByRow::sort(&[0, 0], &mut starts[..2], &mut order[..2]);
        assert_eq!(one.positions(0), [0, 1]);
    }

    #[test]
    fn the_first_index_out_of_range_is_named() {
        let pool = Pool::new(2);
        let mut memory: Vec<i32> = (0..40_000).map(|i| i % 7 - 3).collect();
        let mut out = vec![0; memory.len()];
        let view = |memory: &mut [i32], shape: &[usize]| View {
            base: memory.as_mut_ptr().cast(),
            dtype: DType::I32,
            layout: Layout::contiguous(shape),
        };
        let indices = view(&mut memory, &[200, 200]);
        let loaded = load(&pool, &indices, 5, &mut out).unwrap();
        assert_eq!(loaded[..7], [2, 3, 4, 0, 1, 2, 3]);
        memory[39_999] = -6;
        memory[203] = 5;
        let indices = view(&mut memory, &[200, 200]);
        let error = load(&pool, &indices, 5, &mut out).unwrap_err();
        assert_eq!(error.code, ErrorCode::IndexOutOfRange);
        assert!(error.message.starts_with("index 5 at position [1, 3] "), "{}", error.message);
        assert!(error.message.contains("size 5 (allowed: -5 to 4)"), "{}", error.message);
    }
}
