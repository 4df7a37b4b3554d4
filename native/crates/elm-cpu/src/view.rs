//! From the pointers of a call to typed slices: the one place where kernels touch raw memory.

use elm_core::{KernelCall, View};

use crate::Pool;

/// A typed pointer that tasks of one job share. Each task writes elements that no other task touches.
#[derive(Clone, Copy)]
pub struct Ptr<T>(*mut T);

// SAFETY: a `Ptr` is an address; the kernels that dereference it from several threads split the elements.
unsafe impl<T: Send> Send for Ptr<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ptr<T> {}

impl<T: Copy> Ptr<T> {
    /// # Safety
    /// `index` lies inside the storage, and nobody writes the element meanwhile.
    #[inline(always)]
    pub unsafe fn read(self, index: isize) -> T {
        // SAFETY: the caller's promise.
        unsafe { *self.0.offset(index) }
    }

    /// # Safety
    /// `index` lies inside the storage, and nobody else touches the element meanwhile.
    #[inline(always)]
    pub unsafe fn write(self, index: isize, value: T) {
        // SAFETY: the caller's promise.
        unsafe { *self.0.offset(index) = value }
    }

    /// # Safety
    /// `start .. start + len` lies inside the storage, and nobody writes there while the slice lives.
    #[inline(always)]
    pub unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a [T] {
        // SAFETY: the caller's promise; element 0 is aligned because storages are and offsets count elements.
        unsafe { std::slice::from_raw_parts(self.0.add(start), len) }
    }

    /// # Safety
    /// `start .. start + len` lies inside the storage, and nobody else touches it while the slice lives.
    #[inline(always)]
    pub unsafe fn slice_mut<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }

    /// The address of a buffer that tasks will share.
    pub fn of(buffer: &mut [T]) -> Ptr<T> {
        Ptr(buffer.as_mut_ptr())
    }

    pub fn at(self, offset: usize) -> Ptr<T> {
        Ptr(self.0.wrapping_add(offset))
    }

    pub fn moved(self, by: isize) -> Ptr<T> {
        Ptr(self.0.wrapping_offset(by))
    }

    pub fn raw(self) -> *mut T {
        self.0
    }

    /// The same address under another type; who reads it vouches for the type.
    pub fn cast<U>(self) -> Ptr<U> {
        Ptr(self.0.cast())
    }
}

/// The element that the view's indices start from, as `T`; the width must be the dtype's.
pub fn ptr<T>(view: &View) -> Ptr<T> {
    debug_assert_eq!(size_of::<T>(), view.dtype.size());
    Ptr(view.base.cast::<T>().wrapping_add(view.layout.offset))
}

/// The same element as an address without a type.
pub fn address(view: &View) -> Ptr<u8> {
    Ptr(view.base.wrapping_add(view.layout.offset * view.dtype.size()))
}

/// A row-major input as a slice.
pub fn slice<T: Copy>(view: &View) -> &[T] {
    debug_assert!(view.layout.is_contiguous());
    if view.elements() == 0 {
        return &[];
    }
    // SAFETY: the engine hands kernels views inside live storages, and the ordered stream runs one kernel at a
    // time, so nobody writes an input while its kernel runs.
    unsafe { ptr::<T>(view).slice(0, view.elements()) }
}

/// A row-major output as a slice.
///
/// Callers take each output once; outputs are fresh storages, so slices of different outputs do not overlap.
#[allow(clippy::mut_from_ref)]
pub fn slice_mut<T: Copy>(view: &View) -> &mut [T] {
    debug_assert!(view.layout.is_contiguous());
    if view.elements() == 0 {
        return &mut [];
    }
    // SAFETY: as for `slice`, and the engine gives every output to one kernel only.
    unsafe { ptr::<T>(view).slice_mut(0, view.elements()) }
}

/// Rows of an output that tasks fill side by side.
pub struct Rows<T> {
    start: Ptr<T>,
    len: usize,
}

impl<T: Copy> Rows<T> {
    pub fn new(view: &View) -> Rows<T> {
        debug_assert!(view.layout.is_contiguous());
        Rows { start: ptr(view), len: view.elements() }
    }

    /// # Safety
    /// No other task takes a part that overlaps this one.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start + len <= self.len, "a task left its output");
        if len == 0 {
            return &mut [];
        }
        // SAFETY: inside the output by the assertion, disjoint by the caller's promise.
        unsafe { self.start.slice_mut(start, len) }
    }
}

/// Accessors that kernels read well with.
pub trait CallExt {
    fn pool(&self) -> &Pool;
    fn input(&self, position: usize) -> &View;
    fn output(&self, position: usize) -> &View;
    fn optional_input(&self, position: usize) -> Option<&View>;
    fn optional_output(&self, position: usize) -> Option<&View>;
    #[allow(clippy::mut_from_ref)]
    fn scratch<T: Copy>(&self, start: usize, len: usize) -> &mut [T];
}

impl CallExt for KernelCall<'_> {
    fn pool(&self) -> &Pool {
        self.context.downcast_ref::<Pool>().expect("the CPU device hands its kernels a pool")
    }
    fn input(&self, position: usize) -> &View {
        self.inputs[position].as_ref().expect("the schema makes this input present")
    }
    fn output(&self, position: usize) -> &View {
        self.outputs[position].as_ref().expect("a public output is always wanted")
    }
    fn optional_input(&self, position: usize) -> Option<&View> {
        self.inputs.get(position).and_then(Option::as_ref)
    }
    fn optional_output(&self, position: usize) -> Option<&View> {
        self.outputs.get(position).and_then(Option::as_ref)
    }
    /// `len` elements of the workspace from element `start`; callers take disjoint parts.
    fn scratch<T: Copy>(&self, start: usize, len: usize) -> &mut [T] {
        if len == 0 {
            return &mut [];
        }
        // SAFETY: the kernel asked for a workspace that holds these elements, and takes each part once.
        unsafe { std::slice::from_raw_parts_mut(self.workspace.cast::<T>().add(start), len) }
    }
}
