use elm_core::{Kernel, KernelCall, MAX_RANK, View};

use crate::function::Param;
use crate::grid::Grid;
use crate::pattern::pattern;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("pad", run).strided()];

/// `Frame` of `pad.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Frame {
    rank: u32,
    dims: [u32; MAX_RANK],
    before: [u32; MAX_RANK],
    sizes: [u32; MAX_RANK],
    strides: [i64; MAX_RANK],
}

// SAFETY: `repr(C)`, numbers only, padded to 8 bytes before `strides` as in C++.
unsafe impl Param for Frame {}

impl Frame {
    /// An axis that does not grow is merged with the one before it where x has the two side by side.
    fn new(x: &View, pads: &[i64]) -> Frame {
        let none = [0; MAX_RANK];
        let mut frame = Frame { rank: 0, dims: none, before: none, sizes: none, strides: [0; MAX_RANK] };
        for (axis, (&size, &stride)) in x.shape().iter().zip(&x.layout.strides).enumerate() {
            let (before, after) = (pads[2 * axis] as usize, pads[2 * axis + 1] as usize);
            let (dim, stride) = (before + size + after, stride as i64);
            if (dim, size) == (1, 1) {
                continue;
            }
            let Some(last) = (frame.rank as usize).checked_sub(1) else {
                frame.push(dim, before, size, stride);
                continue;
            };
            let merged = frame.dims[last] as usize * dim;
            let merges =
                dim == size && frame.strides[last] == stride * dim as i64 && u32::try_from(merged).is_ok();
            if merges {
                let dim = dim as u32;
                frame.dims[last] *= dim;
                frame.before[last] *= dim;
                frame.sizes[last] *= dim;
                frame.strides[last] = stride;
            } else {
                frame.push(dim, before, size, stride);
            }
        }
        frame
    }

    fn push(&mut self, dim: usize, before: usize, size: usize, stride: i64) {
        let last = self.rank as usize;
        self.rank += 1;
        self.dims[last] = u32::try_from(dim).expect("an axis is shorter than 2³²");
        (self.before[last], self.sizes[last]) = (before as u32, size as u32);
        self.strides[last] = stride;
    }

    /// The same in units of several elements, with the bytes of a unit: as many as the innermost axis, the steps and
    /// the addresses allow, at most 16.
    fn widened(mut self, bytes: usize, addresses: [*mut u8; 2]) -> (Frame, usize) {
        let Some(last) = (self.rank as usize).checked_sub(1) else { return (self, bytes) };
        let mut width = bytes;
        while self.strides[last] == 1
            && width < 16
            && [self.dims[last], self.before[last], self.sizes[last]].iter().all(|n| n.is_multiple_of(2))
            && addresses.iter().all(|&at| (at as usize).is_multiple_of(2 * width))
            && self.strides[..last].iter().all(|step| step % 2 == 0)
        {
            width *= 2;
            for count in [&mut self.dims[last], &mut self.before[last], &mut self.sizes[last]] {
                *count /= 2;
            }
            self.strides[..last].iter_mut().for_each(|step| *step /= 2);
        }
        (self, width)
    }
}

fn run(call: &KernelCall) -> Run {
    let (gpu, x, y) = (call.gpu(), call.input(0), call.output(0));
    let bits = pattern(y.dtype, call.attrs.f64("value"));
    let (target, source) = (address(y), address(x));
    let (frame, width) = Frame::new(x, call.attrs.ints("pads")).widened(y.dtype.size(), [target, source]);
    let name = match width {
        1 => "pad_1",
        2 => "pad_2",
        4 => "pad_4",
        8 => "pad_8",
        _ => "pad_16",
    };
    let n = y.bytes() / width;
    let args: [&dyn Param; 5] = [&target, &source, &frame, &(n as u64), &bits];
    gpu.launch("pad", name, &[], Grid::over(n, &gpu.limits), &args)
}

#[cfg(test)]
mod tests {
    use elm_core::{DType, Layout};

    use super::*;

    #[test]
    fn axes_that_do_not_grow_are_merged_and_read_in_units() {
        let view = |shape: &[usize]| View {
            base: std::ptr::null_mut(),
            dtype: DType::F16,
            layout: Layout::contiguous(shape),
        };
        let frame = Frame::new(&view(&[3, 2, 4]), &[1, 2, 0, 0, 0, 0]);
        assert_eq!((frame.rank, frame.dims[0], frame.before[0], frame.sizes[0]), (1, 48, 8, 24));
        let (wide, width) = frame.widened(2, [std::ptr::null_mut(); 2]);
        assert_eq!((width, wide.dims[0], wide.before[0], wide.sizes[0], wide.strides[0]), (16, 6, 1, 3, 1));
        let frame = Frame::new(&view(&[3, 4]), &[0, 0, 1, 1]);
        assert_eq!((frame.rank, &frame.dims[..2], &frame.strides[..2]), (2, &[3, 6][..], &[4, 1][..]));
        assert_eq!(frame.widened(2, [std::ptr::null_mut(); 2]).1, 2);
    }
}
