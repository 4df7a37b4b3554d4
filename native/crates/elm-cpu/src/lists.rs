//! Ops over lists of tensors: one job whose tasks are blocks of elements of all of them.

use elm_core::{KernelCall, View};

use crate::nd::Walk;
use crate::view::{CallExt, Ptr, address, ptr};

/// The n-th tensors of `N` lists, walked together.
struct Group<const N: usize> {
    tensors: [Ptr<u8>; N],
    walk: Walk<N>,
    /// Tasks of this group and of those before it.
    end: usize,
}

/// Blocks of all tensors of `N` lists of one length.
pub struct Blocks<const N: usize> {
    groups: Vec<Group<N>>,
}

/// Elements that lie `steps` apart from `starts`, in each of `N` tensors.
pub struct Block<const N: usize> {
    tensors: [Ptr<u8>; N],
    starts: [isize; N],
    steps: [isize; N],
    pub len: usize,
}

impl<const N: usize> Blocks<N> {
    /// The lists follow the first `fixed` inputs.
    pub fn of(inputs: &[Option<View>], fixed: usize) -> Blocks<N> {
        let tensors = &inputs[fixed..];
        let count = tensors.len() / N;
        let mut end = 0;
        let group = |n: usize| {
            let views: [&View; N] =
                std::array::from_fn(|list| tensors[list * count + n].as_ref().expect("lists have no gaps"));
            let walk = Walk::new(views.map(|view| &view.layout));
            end += walk.tasks();
            Group { tensors: views.map(address), walk, end }
        };
        Blocks { groups: (0..count).map(group).collect() }
    }

    pub fn tasks(&self) -> usize {
        self.groups.last().map_or(0, |group| group.end)
    }

    /// Calls `body(task, block)` for blocks that cover all elements; a task may have several.
    pub fn run(&self, call: &KernelCall, body: impl Fn(usize, Block<N>) + Sync) {
        call.pool().run(
            self.tasks(),
            #[inline(always)]
            |task| {
                let at = self.groups.partition_point(|group| group.end <= task);
                let group = &self.groups[at];
                let first = if at == 0 { 0 } else { self.groups[at - 1].end };
                let (tensors, steps) = (group.tensors, group.walk.steps);
                group.walk.task(
                    task - first,
                    #[inline(always)]
                    |starts, len| body(task, Block { tensors, starts, steps, len }),
                );
            },
        );
    }
}

impl<const N: usize> Block<N> {
    pub fn is_straight(&self) -> bool {
        self.steps == [1; N]
    }

    /// Elements of tensor `i` of a straight block.
    ///
    /// # Safety
    /// The dtype is that of `T`, and nobody writes the elements meanwhile.
    #[inline(always)]
    pub unsafe fn slice<T: Copy>(&self, i: usize) -> &[T] {
        // SAFETY: walks stay inside their views; the rest is the caller's promise.
        unsafe { self.tensors[i].cast::<T>().moved(self.starts[i]).slice(0, self.len) }
    }

    /// # Safety
    /// As for [`Block::slice`], and nobody else touches the elements; lists do not share memory.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn slice_mut<T: Copy>(&self, i: usize) -> &mut [T] {
        // SAFETY: as above.
        unsafe { self.tensors[i].cast::<T>().moved(self.starts[i]).slice_mut(0, self.len) }
    }

    /// # Safety
    /// As for [`Block::slice`], and `n` is below `len`.
    #[inline(always)]
    pub unsafe fn read<T: Copy>(&self, i: usize, n: usize) -> T {
        // SAFETY: as above.
        unsafe { self.tensors[i].cast::<T>().read(self.starts[i] + n as isize * self.steps[i]) }
    }

    /// # Safety
    /// As for [`Block::slice_mut`], and `n` is below `len`.
    #[inline(always)]
    pub unsafe fn write<T: Copy>(&self, i: usize, n: usize, value: T) {
        // SAFETY: as above.
        unsafe { self.tensors[i].cast::<T>().write(self.starts[i] + n as isize * self.steps[i], value) }
    }
}

/// An f32 scalar input.
pub fn scalar(call: &KernelCall, position: usize) -> f32 {
    // SAFETY: the shape rule wants one element, the signature f32.
    unsafe { ptr::<f32>(call.input(position)).read(0) }
}
