//! Layouts as kernels take them.

use elm_core::{Layout, MAX_RANK};

use crate::function::Param;

/// `Nd<N>` of `common.cuh`: the axes of a walk over `N` operands of one shape, outer ones first.
///
/// Axes that lie together in all operands are merged; axes of size 1 are gone.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nd<const N: usize> {
    pub rank: u32,
    pub dims: [u32; MAX_RANK],
    pub strides: [[i64; MAX_RANK]; N],
}

// SAFETY: `repr(C)`, numbers only; `dims` ends at a multiple of 4 bytes and C++ pads to 8 as `repr(C)` does.
unsafe impl<const N: usize> Param for Nd<N> {}

impl<const N: usize> Nd<N> {
    /// `layouts` all have the shape of the first. Offsets are the caller's: pointers start at them.
    pub fn new(layouts: [&Layout; N]) -> Nd<N> {
        Nd::of(&layouts[0].shape, layouts.map(|layout| &layout.strides[..]))
    }

    /// The same of a shape and steps of each operand.
    pub fn of(shape: &[usize], steps: [&[isize]; N]) -> Nd<N> {
        let mut nd = Nd { rank: 0, dims: [1; MAX_RANK], strides: [[0; MAX_RANK]; N] };
        for (axis, &dim) in shape.iter().enumerate() {
            if dim == 1 {
                continue;
            }
            let steps: [i64; N] = std::array::from_fn(|i| steps[i][axis] as i64);
            let last = nd.rank as usize;
            let merges = last > 0
                && (0..N).all(|i| nd.strides[i][last - 1] == steps[i] * dim as i64)
                && u32::try_from(nd.dims[last - 1] as usize * dim).is_ok();
            let at = if merges { last - 1 } else { last };
            if !merges {
                nd.rank += 1;
            }
            nd.dims[at] = u32::try_from(nd.dims[at] as usize * dim).expect("an axis is shorter than 2³²");
            (0..N).for_each(|i| nd.strides[i][at] = steps[i]);
        }
        nd
    }

    /// The same walk over units of several elements, with the bytes of a unit; all operands are moved.
    pub fn widened(self, bytes: usize, addresses: [*mut u8; N]) -> (Nd<N>, usize) {
        self.in_units::<N>(bytes, &addresses, &mut [])
    }

    /// The first `M` operands in units of several elements, with the bytes of a unit: as many as their innermost axis,
    /// which they have straight, and all their steps, `more` steps and all `addresses` allow, at most 16. The other
    /// operands rest along that axis.
    pub fn in_units<const M: usize>(
        mut self,
        bytes: usize,
        addresses: &[*mut u8],
        more: &mut [i64],
    ) -> (Nd<N>, usize) {
        let Some(last) = (self.rank as usize).checked_sub(1) else { return (self, bytes) };
        let mut width = bytes;
        let fits = (0..N).all(|i| self.strides[i][last] == i64::from(i < M));
        while fits
            && width < 16
            && self.dims[last].is_multiple_of(2)
            && addresses.iter().all(|&at| (at as usize).is_multiple_of(2 * width))
            && self.strides[..M].iter().flat_map(|steps| &steps[..last]).all(|step| step % 2 == 0)
            && more.iter().all(|step| step % 2 == 0)
        {
            width *= 2;
            self.dims[last] /= 2;
            self.strides[..M].iter_mut().flat_map(|steps| &mut steps[..last]).for_each(|step| *step /= 2);
            more.iter_mut().for_each(|step| *step /= 2);
        }
        (self, width)
    }

    /// Elements of the walk.
    pub fn count(&self) -> usize {
        self.dims[..self.rank as usize].iter().map(|&dim| dim as usize).product()
    }

    /// Whether element n of operand `i` simply lies at n.
    pub fn is_straight(&self, i: usize) -> bool {
        self.rank == 0 || (self.rank == 1 && self.strides[i][0] == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_that_lie_together_are_merged() {
        let dense = Layout::contiguous(&[2, 1, 3, 4]);
        let nd = Nd::new([&dense]);
        assert_eq!((nd.rank, nd.dims[0], nd.strides[0][0]), (1, 24, 1));
        assert!(nd.is_straight(0));
        let turned = Layout::contiguous(&[4, 3, 2]).permute(&[2, 1, 0]);
        let nd = Nd::new([&Layout::contiguous(&[2, 3, 4]), &turned]);
        assert_eq!((nd.rank, &nd.dims[..3]), (3, &[2, 3, 4][..]));
        assert_eq!((&nd.strides[0][..3], &nd.strides[1][..3]), (&[12, 4, 1][..], &[1, 2, 6][..]));
    }

    #[test]
    fn straight_runs_are_walked_in_units_as_wide_as_all_operands_allow() {
        let dense = Layout::contiguous(&[3, 5, 12]);
        let part = Layout::contiguous(&[3, 8, 12]);
        let of = |from: &Layout| Nd::of(&dense.shape, [&dense.strides, &from.strides]);
        let at = |n: usize| n as *mut u8;
        let (wide, width) = of(&part).widened(2, [at(256), at(512)]);
        assert_eq!((width, wide.dims[1], wide.strides[1][0], wide.count()), (8, 15, 24, 45));
        assert_eq!(of(&part).widened(2, [at(256), at(514)]).1, 2);
        let odd = Layout { strides: [97, 12, 1].into_iter().collect(), ..part };
        assert_eq!(of(&odd).widened(2, [at(256), at(512)]).1, 2);
        let rows = Nd::of(&[6, 8], [&[40, 1], &[1, 0]]);
        let mut step = [24];
        let (rows, width) = rows.in_units::<1>(4, &[at(256)], &mut step);
        assert_eq!((width, rows.dims[1], step), (16, 2, [6]));
        assert_eq!((&rows.strides[0][..2], &rows.strides[1][..2]), (&[10, 1][..], &[1, 0][..]));
    }
}
