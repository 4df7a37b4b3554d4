use std::fmt;

use smallvec::SmallVec;

use crate::DType;

/// Most axes that a tensor may have; kernels keep their loop state in arrays of this size.
pub const MAX_RANK: usize = 8;

pub type Shape = SmallVec<[usize; 4]>;
/// Steps in elements; 0 repeats, negative runs backwards.
pub type Strides = SmallVec<[isize; 4]>;

#[inline]
pub fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// What a tensor is, without its values.
#[derive(PartialEq, Eq)]
pub struct TensorSpec {
    pub dtype: DType,
    pub shape: Shape,
}

// `SmallVec::clone` pushes item by item; `from_slice` copies them at once. Every call clones several layouts.
impl Clone for TensorSpec {
    #[inline]
    fn clone(&self) -> TensorSpec {
        TensorSpec::new(self.dtype, &self.shape)
    }
}

impl TensorSpec {
    #[inline]
    pub fn new(dtype: DType, shape: &[usize]) -> TensorSpec {
        TensorSpec { dtype, shape: Shape::from_slice(shape) }
    }
}

impl fmt::Debug for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape.as_slice())
    }
}

/// Where element `[i, j, …]` lies: `offset + i·strides[0] + j·strides[1] + …`, in elements of the storage.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    pub shape: Shape,
    pub strides: Strides,
    pub offset: usize,
}

impl Clone for Layout {
    #[inline]
    fn clone(&self) -> Layout {
        Layout {
            shape: Shape::from_slice(&self.shape),
            strides: Strides::from_slice(&self.strides),
            offset: self.offset,
        }
    }
}

impl Layout {
    /// Row-major from the start of a storage.
    #[inline]
    pub fn contiguous(shape: &[usize]) -> Layout {
        let mut strides = Strides::from_elem(0, shape.len());
        let mut step = 1;
        for (stride, &dim) in strides.iter_mut().zip(shape).rev() {
            *stride = step;
            step *= dim as isize;
        }
        Layout { shape: Shape::from_slice(shape), strides, offset: 0 }
    }

    #[inline]
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    #[inline]
    pub fn elements(&self) -> usize {
        elements(&self.shape)
    }

    /// Whether the elements lie row-major without gaps; axes of size 1 may have any stride.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for (&dim, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if dim != 1 && stride != step {
                return self.elements() == 0;
            }
            step *= dim as isize;
        }
        true
    }

    /// Whether two indices may name the same element, decided conservatively: sorted by stride, each axis must
    /// step over all that the smaller ones span.
    pub fn may_overlap(&self) -> bool {
        if self.elements() == 0 {
            return false;
        }
        let mut axes: SmallVec<[(usize, usize); 8]> = self
            .shape
            .iter()
            .zip(&self.strides)
            .filter(|(dim, _)| **dim > 1)
            .map(|(&dim, &stride)| (stride.unsigned_abs(), dim))
            .collect();
        axes.sort_unstable();
        let mut span = 0;
        for (stride, dim) in axes {
            if stride <= span {
                return true;
            }
            span += stride * (dim - 1);
        }
        false
    }

    pub fn permute(&self, axes: &[usize]) -> Layout {
        Layout {
            shape: axes.iter().map(|&a| self.shape[a]).collect(),
            strides: axes.iter().map(|&a| self.strides[a]).collect(),
            offset: self.offset,
        }
    }

    /// Of every axis the `sizes[axis]` elements `starts[axis]`, `starts[axis] + steps[axis]`, …, without moving them.
    ///
    /// `Err(axis)` names the first axis where such an element does not exist or the step is 0. A start is looked at
    /// only where the size is not 0, and a slice without elements keeps the offset: it stays inside the storage.
    pub fn slice(&self, starts: &[i64], sizes: &[usize], steps: &[i64]) -> Result<Layout, usize> {
        let mut strides = self.strides.clone();
        let mut offset = self.offset as isize;
        for axis in 0..self.rank() {
            let (start, size, step) = (starts[axis], sizes[axis], steps[axis]);
            let inside = |index: i128| (0..self.shape[axis] as i128).contains(&index);
            let last = i128::from(start) + (size as i128 - 1) * i128::from(step);
            if step == 0 || (size > 0 && !(inside(start.into()) && inside(last))) {
                return Err(axis);
            }
            if size > 0 {
                offset += start as isize * self.strides[axis];
            }
            // A lone element may be asked for with any step, which need not fit a stride.
            if size > 1 {
                strides[axis] *= step as isize;
            }
        }
        let offset = if elements(sizes) == 0 { self.offset } else { offset as usize };
        Ok(Layout { shape: Shape::from_slice(sizes), strides, offset })
    }

    /// NumPy broadcasting; `None` if an axis is neither 1 nor equal.
    #[inline]
    pub fn broadcast_to(&self, shape: &[usize]) -> Option<Layout> {
        let lead = shape.len().checked_sub(self.rank())?;
        let mut strides = Strides::from_elem(0, shape.len());
        for (axis, (&dim, &stride)) in self.shape.iter().zip(&self.strides).enumerate() {
            let wanted = shape[lead + axis];
            if dim == wanted {
                strides[lead + axis] = stride;
            } else if dim != 1 {
                return None;
            }
        }
        Some(Layout { shape: Shape::from_slice(shape), strides, offset: self.offset })
    }

    /// The same elements under another shape without moving them, where strides allow that.
    ///
    /// Walks both shapes at once: each maximal group of axes with equal products must be one straight run in
    /// memory, over which the new axes are laid row-major.
    pub fn reshape(&self, shape: &[usize]) -> Option<Layout> {
        if elements(shape) != self.elements() {
            return None;
        }
        if self.elements() == 0 {
            return Some(Layout { offset: self.offset, ..Layout::contiguous(shape) });
        }
        let old: SmallVec<[(usize, isize); 8]> = self
            .shape
            .iter()
            .copied()
            .zip(self.strides.iter().copied())
            .filter(|(dim, _)| *dim != 1)
            .collect();
        let mut strides = Strides::from_elem(1, shape.len());
        let (mut i, mut j) = (0, 0);
        while i < old.len() {
            let (mut from, mut to) = (old[i].0, 1);
            let (start, mut last) = (i, i + 1);
            let first_new = j;
            while from != to {
                if to < from {
                    to *= *shape.get(j)?;
                    j += 1;
                } else {
                    from *= old[last].0;
                    last += 1;
                }
            }
            if (start + 1..last).any(|k| old[k - 1].1 != old[k].1 * old[k].0 as isize) {
                return None;
            }
            let mut step = old[last - 1].1;
            for k in (first_new..j).rev() {
                strides[k] = step;
                step *= shape[k] as isize;
            }
            i = last;
        }
        Some(Layout { shape: Shape::from_slice(shape), strides, offset: self.offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All element positions in row-major order of the indices.
    fn positions(layout: &Layout) -> Vec<isize> {
        let mut out = vec![layout.offset as isize];
        for (&dim, &stride) in layout.shape.iter().zip(&layout.strides) {
            out = out.iter().flat_map(|&p| (0..dim as isize).map(move |i| p + i * stride)).collect();
        }
        out
    }

    #[test]
    fn a_reshaped_view_keeps_the_order_of_elements() {
        let base = Layout::contiguous(&[2, 3, 4, 5]);
        let views = [base.clone(), base.permute(&[1, 0, 2, 3]), base.permute(&[3, 2, 1, 0])];
        let shapes: [&[usize]; 6] =
            [&[6, 20], &[120], &[2, 3, 2, 10], &[3, 2, 20], &[1, 3, 2, 4, 1, 5], &[5, 4, 3, 2]];
        for view in &views {
            for shape in shapes {
                if let Some(reshaped) = view.reshape(shape) {
                    assert_eq!(positions(view), positions(&reshaped), "{view:?} as {shape:?}");
                }
            }
        }
        assert!(base.reshape(&[6, 20]).is_some());
        assert!(base.permute(&[1, 0, 2, 3]).reshape(&[6, 20]).is_none());
        assert!(base.permute(&[1, 0, 2, 3]).reshape(&[3, 2, 20]).is_some());
    }

    #[test]
    fn a_slice_names_the_elements_it_was_asked_for() {
        let base = Layout { offset: 7, ..Layout::contiguous(&[4, 6]).permute(&[1, 0]) };
        let slice = base.slice(&[5, 0], &[3, 2], &[-2, 3]).unwrap();
        assert_eq!((slice.shape.as_slice(), slice.offset), ([3, 2].as_slice(), 7 + 5));
        assert_eq!(slice.strides.as_slice(), [-2, 18]);
        let back = slice.slice(&[2, 1], &[3, 2], &[-1, -1]).unwrap();
        assert_eq!((back.offset, back.strides.as_slice()), (7 + 1 + 18, [2, -18].as_slice()));
    }

    #[test]
    fn a_slice_past_the_end_names_its_axis() {
        let base = Layout::contiguous(&[4, 6]);
        assert_eq!(base.slice(&[0, 0], &[4, 6], &[1, 1]), Ok(base.clone()));
        assert_eq!(base.slice(&[1, 0], &[4, 6], &[1, 1]), Err(0));
        assert_eq!(base.slice(&[0, 1], &[4, 3], &[1, -1]), Err(1));
        assert_eq!(base.slice(&[0, -1], &[4, 1], &[1, 1]), Err(1));
        assert_eq!(base.slice(&[0, 0], &[4, 2], &[1, 0]), Err(1));
        assert_eq!(base.slice(&[0, 1], &[4, usize::MAX], &[1, i64::MAX]), Err(1));
        let lone = base.slice(&[3, 5], &[1, 1], &[i64::MAX, i64::MIN]).unwrap();
        assert_eq!((lone.offset, lone.elements()), (23, 1));
    }

    #[test]
    fn an_empty_slice_stays_inside_the_storage() {
        let base = Layout { offset: 2, ..Layout::contiguous(&[4, 6]) };
        for starts in [[0, 6], [3, 600], [3, -1]] {
            let slice = base.slice(&starts, &[1, 0], &[1, -1]).unwrap();
            assert_eq!((slice.offset, slice.elements()), (2, 0), "{starts:?}");
        }
        let empty = Layout::contiguous(&[0, 6]).slice(&[0, 5], &[0, 6], &[1, -1]).unwrap();
        assert_eq!((empty.offset, empty.shape.as_slice()), (0, [0, 6].as_slice()));
        // The other axis of a turned empty tensor has stride 0, but there is nothing that could overlap.
        assert!(!Layout::contiguous(&[3, 0]).permute(&[1, 0]).may_overlap());
    }

    #[test]
    fn broadcasting_repeats_by_a_zero_stride() {
        let layout = Layout::contiguous(&[3, 1]).broadcast_to(&[2, 3, 4]).unwrap();
        assert_eq!(layout.strides.as_slice(), [0, 1, 0]);
        assert!(layout.may_overlap());
        assert!(!Layout::contiguous(&[3, 0]).permute(&[1, 0]).may_overlap(), "nothing cannot overlap");
        assert!(Layout::contiguous(&[3]).broadcast_to(&[2]).is_none());
    }

    #[test]
    fn size_one_axes_do_not_break_contiguity() {
        let layout = Layout { strides: Strides::from_slice(&[7, 1]), ..Layout::contiguous(&[1, 4]) };
        assert!(layout.is_contiguous());
        assert!(!Layout::contiguous(&[3, 4]).permute(&[1, 0]).is_contiguous());
    }
}
