//! Stores past the caches, for outputs that would not stay in them.
//!
//! A plain store first reads the line that it writes to. Where the output is too large to be found in a cache later,
//! that read is a third of the traffic of an addition and half of that of a fill. A store past the caches needs whole
//! lines: elements are gathered in a small block and go out together. Results do not depend on the way.

use std::ops::Range;
use std::sync::OnceLock;

use elm_core::View;

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// Elements that are gathered before they go out: few, so that they displace nothing; whole lines of any width.
const BLOCK: usize = 128;

/// How the elements of one output are stored. Must be used inside a job of the pool, which fences when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stores {
    past_caches: bool,
}

impl Stores {
    /// By way of the caches.
    pub const PLAIN: Stores = Stores { past_caches: false };

    /// The way for an output, by its size alone.
    pub fn of(output: &View) -> Stores {
        Stores { past_caches: cfg!(target_feature = "avx") && passes(output.bytes(), last_level_cache()) }
    }

    pub fn past_caches(self) -> bool {
        self.past_caches
    }

    /// Calls `body(range, part)` for ranges that cover `out` in order; what it leaves in `part` is stored there.
    ///
    /// `part` may stand for `out[range]` and then holds arbitrary elements at first.
    #[inline(always)]
    pub fn fill<Y: Copy>(self, out: &mut [Y], mut body: impl FnMut(Range<usize>, &mut [Y])) {
        let Some(&first) = out.first() else { return };
        let mut block = self.past_caches.then_some(Block([first; BLOCK]));
        let mut at = 0;
        while at < out.len() {
            let rest = &mut out[at..];
            let (lead, whole) = (to_next_line(rest), rest.len() - rest.len() % (LINE / size_of::<Y>()));
            match &mut block {
                Some(block) if lead == 0 && whole > 0 => {
                    let len = whole.min(BLOCK);
                    let part = &mut block.0[..len];
                    body(at..at + len, part);
                    // SAFETY: `rest` starts at a line, and both hold `len` elements, which are whole lines.
                    unsafe { stream(rest.as_mut_ptr().cast(), part.as_ptr().cast(), size_of_val(part)) };
                    at += len;
                }
                block => {
                    let len = if block.is_some() && lead > 0 { lead.min(rest.len()) } else { rest.len() };
                    body(at..at + len, &mut rest[..len]);
                    at += len;
                }
            }
        }
    }

    /// Copies `from` to `out`, which has as many elements.
    #[inline(always)]
    pub fn copy<Y: Copy>(self, from: &[Y], out: &mut [Y]) {
        assert_eq!(from.len(), out.len());
        if !self.past_caches {
            out.copy_from_slice(from);
            return;
        }
        let lead = to_next_line(out).min(out.len());
        let end = lead + (out.len() - lead) / (LINE / size_of::<Y>()) * (LINE / size_of::<Y>());
        // Not called for nothing: a copy of no elements is a call all the same, and rows may be a single line.
        if lead > 0 {
            out[..lead].copy_from_slice(&from[..lead]);
        }
        let (to, lines) = (&mut out[lead..end], &from[lead..end]);
        // SAFETY: both hold as many elements, which are whole lines, and `to` starts at a line.
        unsafe { stream(to.as_mut_ptr().cast(), lines.as_ptr().cast(), size_of_val(lines)) };
        if end < out.len() {
            out[end..].copy_from_slice(&from[end..]);
        }
    }
}

#[repr(align(64))]
struct Block<Y>([Y; BLOCK]);

/// Elements before the next line starts.
#[inline(always)]
fn to_next_line<Y>(at: &[Y]) -> usize {
    const { assert!(LINE.is_multiple_of(size_of::<Y>())) };
    (at.as_ptr() as usize).wrapping_neg() % LINE / size_of::<Y>()
}

/// Whether an output of `bytes` is stored past caches whose last one has `cache` bytes.
///
/// With an input of its size, half of the cache would just hold both.
fn passes(bytes: usize, cache: usize) -> bool {
    bytes >= cache / 2
}

/// Bytes of the largest cache that this thread shares, within bounds that make sense; 32 MiB where it is unknown.
fn last_level_cache() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let largest = cache_sizes().into_iter().max().filter(|&bytes| bytes > 0);
        largest.unwrap_or(32 << 20).clamp(8 << 20, 128 << 20)
    })
}

/// By the processor's own account: leaf 8000001D of AMD and leaf 4 of Intel have one form.
#[cfg(target_arch = "x86_64")]
fn cache_sizes() -> Vec<usize> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let leaf = [0x8000_001D, 4]
        .into_iter()
        .find(|&leaf: &u32| __cpuid(leaf & 0x8000_0000).eax >= leaf && __cpuid_count(leaf, 0).eax & 31 != 0);
    let Some(leaf) = leaf else { return Vec::new() };
    (0..16)
        .map(|index| __cpuid_count(leaf, index))
        .take_while(|cache| cache.eax & 31 != 0)
        .map(|cache| {
            let ways = (cache.ebx >> 22) as usize + 1;
            let partitions = (cache.ebx >> 12 & 0x3FF) as usize + 1;
            let line = (cache.ebx & 0xFFF) as usize + 1;
            ways * partitions * line * (cache.ecx as usize + 1)
        })
        .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cache_sizes() -> Vec<usize> {
    Vec::new()
}

/// Stores `bytes`, which are whole lines, without reading the lines first.
///
/// # Safety
/// `to` is aligned to a line, both sides have `bytes`, and they do not overlap.
#[inline(always)]
unsafe fn stream(to: *mut u8, from: *const u8, bytes: usize) {
    // SAFETY: the caller's promise; the build demands AVX.
    #[cfg(all(target_arch = "x86_64", target_feature = "avx"))]
    unsafe {
        use std::arch::x86_64::*;
        for at in (0..bytes).step_by(LINE) {
            let halves = [0, 32].map(|half| _mm256_loadu_si256(from.add(at + half).cast()));
            _mm256_stream_si256(to.add(at).cast(), halves[0]);
            _mm256_stream_si256(to.add(at + 32).cast(), halves[1]);
        }
    }
    // SAFETY: the caller's promise.
    #[cfg(not(all(target_arch = "x86_64", target_feature = "avx")))]
    unsafe {
        std::ptr::copy_nonoverlapping(from, to, bytes);
    }
}

/// Makes stores past the caches visible before what this thread stores afterwards. Takes about a nanosecond.
#[inline(always)]
pub fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE.
    unsafe {
        std::arch::x86_64::_mm_sfence()
    };
}

/// Asks for the line at `at`, which need not exist, to be brought into the second cache.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch never faults.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
pub mod tests {
    use elm_core::{DType, Layout};

    use super::*;

    /// Both ways, whatever the size.
    pub const BOTH: [Stores; 2] = [Stores::PLAIN, Stores { past_caches: true }];

    #[test]
    fn large_outputs_pass_the_caches() {
        let of = |elements: usize| {
            let layout = Layout::contiguous(&[elements]);
            Stores::of(&View { base: std::ptr::null_mut(), dtype: DType::F32, layout }).past_caches()
        };
        let half = last_level_cache() / 2 / 4;
        assert!(!of(0) && !of(half - 1));
        assert_eq!(of(half), cfg!(target_feature = "avx"));
        assert!(passes(16 << 20, 32 << 20) && !passes((16 << 20) - 1, 32 << 20));
    }

    fn check<Y: Copy + PartialEq + std::fmt::Debug>(value: impl Fn(usize) -> Y) {
        let other = value(77);
        for stores in BOTH {
            for start in [0, 1, 7, 15, 16] {
                for len in [0, 1, 5, 16, 63, 64, 65, 127, 128, 129, 300, 1000] {
                    let from: Vec<Y> = (0..len).map(&value).collect();
                    let mut out = vec![other; start + len + 3];
                    let mut seen = 0;
                    stores.fill(&mut out[start..start + len], |range, part| {
                        assert_eq!((range.start, range.len()), (seen, part.len()));
                        seen = range.end;
                        part.copy_from_slice(&from[range]);
                    });
                    let mut copied = vec![other; start + len + 3];
                    stores.copy(&from, &mut copied[start..start + len]);
                    fence();
                    assert_eq!(seen, len);
                    assert_eq!(out[start..start + len], from, "{stores:?} {start} {len}");
                    assert!(out[..start].iter().chain(&out[start + len..]).all(|y| *y == other));
                    assert_eq!(out, copied);
                }
            }
        }
    }

    #[test]
    fn every_element_is_stored_and_nothing_beside() {
        check(|i| i as u8);
        check(|i| i as u16 * 3);
        check(|i| i as f32 * 0.5);
        check(|i| i as u64 * 3);
    }
}
