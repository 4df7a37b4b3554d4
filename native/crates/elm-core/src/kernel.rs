use std::any::Any;
use std::ops::Range;

use crate::{Attrs, DType, ErrorCode, Layout};

/// Memory of one tensor as a kernel gets it. Holding the pointer is safe; reading it is the kernel's affair.
#[derive(Clone, Debug)]
pub struct View {
    /// First byte of the storage on the device; element 0 lies at `layout.offset` elements from it.
    pub base: *mut u8,
    pub dtype: DType,
    pub layout: Layout,
}

// SAFETY is not at stake here: the pointer is plain data until a kernel dereferences it.
impl View {
    #[inline]
    pub fn elements(&self) -> usize {
        self.layout.elements()
    }
    #[inline]
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }
    #[inline]
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }

    /// Addresses from its first byte in memory to behind its last one, whatever it leaves out between them.
    pub fn span(&self) -> Range<usize> {
        if self.elements() == 0 {
            return 0..0;
        }
        let (mut low, mut high) = (self.layout.offset as isize, self.layout.offset as isize + 1);
        for (&dim, &stride) in self.shape().iter().zip(&self.layout.strides) {
            let reach = (dim as isize - 1) * stride;
            *(if reach < 0 { &mut low } else { &mut high }) += reach;
        }
        let (base, size) = (self.base as usize, self.dtype.size());
        base + low as usize * size..base + high as usize * size
    }

    /// Whether two views may have a byte in common: whether their spans meet.
    pub fn may_share(&self, other: &View) -> bool {
        let (own, other) = (self.span(), other.span());
        own.start < other.end && other.start < own.end
    }
}

/// One call that passed the shape rule, with its memory.
pub struct KernelCall<'a> {
    pub attrs: &'a Attrs,
    /// Absent optionals are `None`; a mutated input is written through its view.
    pub inputs: &'a [Option<View>],
    /// Outputs that nobody wants are `None`.
    pub outputs: &'a [Option<View>],
    /// Scratch of the size that the kernel asked for, 64-byte aligned.
    pub workspace: *mut u8,
    /// What the device hands its kernels: a thread pool, a stream.
    pub context: &'a dyn Any,
}

/// Why a kernel gave up; the engine adds the op and poisons what it would have written.
#[derive(Clone, Debug)]
pub struct KernelError {
    pub code: ErrorCode,
    pub message: String,
}

impl KernelError {
    pub fn index(message: impl Into<String>) -> KernelError {
        KernelError { code: ErrorCode::IndexOutOfRange, message: message.into() }
    }
}

/// A function that computes an op on one device, for all signatures of the op.
pub struct Kernel {
    pub op: &'static str,
    pub run: fn(&KernelCall) -> Result<(), KernelError>,
    /// Reads inputs through their strides. Otherwise the engine copies them into row-major order first.
    pub strided: bool,
    /// Bytes of scratch.
    pub workspace: fn(inputs: &[Option<View>], outputs: &[Option<View>], attrs: &Attrs) -> usize,
    /// Rough nanoseconds on one core, to decide whether the caller runs it at once.
    pub cost: fn(inputs: &[Option<View>], outputs: &[Option<View>], attrs: &Attrs) -> u64,
}

impl Kernel {
    pub const fn new(op: &'static str, run: fn(&KernelCall) -> Result<(), KernelError>) -> Kernel {
        Kernel { op, run, strided: false, workspace: |_, _, _| 0, cost: memory_cost }
    }
    pub const fn strided(self) -> Kernel {
        Kernel { strided: true, ..self }
    }
    pub const fn with_workspace(
        self,
        workspace: fn(&[Option<View>], &[Option<View>], &Attrs) -> usize,
    ) -> Kernel {
        Kernel { workspace, ..self }
    }
    pub const fn with_cost(self, cost: fn(&[Option<View>], &[Option<View>], &Attrs) -> u64) -> Kernel {
        Kernel { cost, ..self }
    }
}

/// An elementwise kernel moves about 4 bytes a nanosecond on one core when data sits in a cache.
fn memory_cost(inputs: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> u64 {
    let bytes: usize = inputs.iter().chain(outputs).flatten().map(View::bytes).sum();
    (bytes / 4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: usize = 4096;

    fn view(dtype: DType, layout: Layout) -> View {
        View { base: BASE as *mut u8, dtype, layout }
    }

    /// A part of 100 elements.
    fn part(dtype: DType, from: i64, size: usize, step: i64) -> View {
        view(dtype, Layout::contiguous(&[100]).slice(&[from], &[size], &[step]).unwrap())
    }

    #[test]
    fn the_span_holds_every_element_and_begins_and_ends_with_one() {
        for dtype in [DType::U8, DType::BF16, DType::F32, DType::F64] {
            let whole = Layout::contiguous(&[4, 5, 5]);
            for layout in [
                whole.clone(),
                whole.permute(&[2, 0, 1]),
                whole.slice(&[1, 4, 0], &[2, 3, 2], &[1, -2, 3]).unwrap(),
                Layout::contiguous(&[5]).broadcast_to(&[3, 5]).unwrap(),
                Layout::contiguous(&[]),
            ] {
                let mut elements = vec![layout.offset as isize];
                for (&dim, &stride) in layout.shape.iter().zip(&layout.strides) {
                    let steps = |&at: &isize| (0..dim as isize).map(move |i| at + i * stride);
                    elements = elements.iter().flat_map(steps).collect();
                }
                let address = |at: isize| BASE + at as usize * dtype.size();
                let first = address(*elements.iter().min().unwrap());
                let last = address(*elements.iter().max().unwrap()) + dtype.size();
                assert_eq!(view(dtype, layout.clone()).span(), first..last, "{dtype} {layout:?}");
            }
        }
    }

    #[test]
    fn views_share_memory_only_where_their_spans_meet() {
        let whole = view(DType::U32, Layout::contiguous(&[10, 10]));
        let part = |from, size, step| part(DType::U32, from, size, step);
        assert!(whole.may_share(&part(99, 1, 1)) && part(99, 1, 1).may_share(&whole));
        assert!(part(0, 10, 1).may_share(&part(19, 11, -1)));
        assert!(!part(0, 10, 1).may_share(&part(19, 10, -1)));
        assert!(!whole.may_share(&part(50, 0, 1)) && !part(50, 0, 1).may_share(&whole));
        let behind = View { base: whole.span().end as *mut u8, ..whole.clone() };
        assert!(!whole.may_share(&behind) && !behind.may_share(&whole));
    }
}
