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
}
