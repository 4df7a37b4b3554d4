//! Calls that follow each other in a recording and have one kernel together.
//!
//! A list of work that runs again and again is looked through once: where the next calls are those of a [`Fusion`] and lie
//! as its kernel wants them, that kernel stands in for them. It writes all that they would have written, with the same
//! bits, so that nobody needs to know what becomes of a result in between.

mod cached_attention;
mod norm_product;

use std::sync::atomic::{AtomicU64, Ordering};

use elm_core::{KernelCall, View};

use crate::view::{Run, address};

/// One kernel for several calls.
pub struct Fusion {
    /// Their ops, in order.
    ops: &'static [&'static str],
    /// Whether the kernel takes these calls.
    takes: fn(&[KernelCall]) -> bool,
    run: fn(&[KernelCall]) -> Run,
}

/// Those of more calls stand before those of fewer that begin alike.
static FUSIONS: &[Fusion] = &[norm_product::WITH_SWIGLU, norm_product::ALONE, cached_attention::FUSION];

/// The most calls that one stands in for.
pub const MOST_FUSED: usize = 3;

/// The fusion that stands in for the first calls of a list, if there is one.
pub fn fusion_of(ops: &[&str], calls: &[KernelCall]) -> Option<&'static Fusion> {
    FUSIONS.iter().find(|fusion| ops.starts_with(fusion.ops) && (fusion.takes)(&calls[..fusion.calls()]))
}

/// Fused kernels that were submitted; for tests.
pub fn fused_calls() -> u64 {
    FUSED.load(Ordering::Relaxed)
}

static FUSED: AtomicU64 = AtomicU64::new(0);

impl Fusion {
    /// How many calls it stands in for.
    pub fn calls(&self) -> usize {
        self.ops.len()
    }

    /// Submits the kernel for the calls that [`fusion_of`] was given.
    pub fn run(&self, calls: &[KernelCall]) -> Run {
        FUSED.fetch_add(1, Ordering::Relaxed);
        (self.run)(&calls[..self.calls()])
    }
}

/// Whether `input` is what a call before has put into `output`, as it lies there.
fn is_the_same(output: &View, input: &View) -> bool {
    address(output) == address(input)
        && output.dtype == input.dtype
        && output.elements() == input.elements()
        && output.layout.is_contiguous()
        && input.layout.is_contiguous()
}

/// Whether a kernel may write to each of `writes` while another block reads any of `reads` or writes to another one. Memory
/// of a result that is no longer needed by the time of a later call may have been given to that call.
fn are_apart(writes: &[&View], reads: &[&View]) -> bool {
    let others = |number: usize| writes[number + 1..].iter().chain(reads);
    writes.iter().enumerate().all(|(number, write)| others(number).all(|other| !write.may_share(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fusion_is_longer_than_the_calls_that_are_looked_at() {
        assert_eq!(FUSIONS.iter().map(Fusion::calls).max(), Some(MOST_FUSED));
    }
}
