//! How kernels say that an index is out of range: a word of device memory each, looked at when results are read.
//!
//! A word holds all ones while nothing is wrong. A kernel that meets a bad index takes the minimum of the word and
//! `position · 2³² + index`, so that the first bad index stands there whatever the order of the threads, and touches no
//! other memory for it.

use std::sync::{Arc, PoisonError};

use elm_core::{KernelError, View};
use smallvec::SmallVec;

use crate::Gpu;
use crate::driver::Result;

/// Words in all; each belongs to one kernel between its launch and the next look.
const WORDS: usize = 4096;
const GOOD: u64 = u64::MAX;

/// The words of a device.
#[derive(Default)]
pub(crate) struct Ledger {
    base: usize,
    free: Vec<u32>,
    /// Words that kernels took since they were last asked for.
    taken: SmallVec<[Word; 1]>,
}

struct Word {
    number: u32,
    shape: SmallVec<[usize; 4]>,
    say: Say,
}

/// What is wrong with a position of the indices that holds a number.
type Say = Box<dyn Fn(&[usize], i32) -> KernelError + Send + Sync>;

/// Words of the kernels of one command; they can be taken again when this goes.
pub struct Words {
    gpu: &'static Gpu,
    words: SmallVec<[Word; 1]>,
}

impl Gpu {
    /// Device memory of a word by which a kernel reports the first of `indices` outside an axis of `size`.
    pub(crate) fn word(&self, indices: &View, size: usize) -> Result<*mut u8> {
        let most = size as i64;
        self.word_that_says(indices.shape(), move |position, index| {
            KernelError::index(format!(
                "index {index} at position {position:?} of the indices is out of range for an axis of size {size} \
                 (allowed: {} to {})",
                -most,
                most - 1
            ))
        })
    }

    /// The same with another rule: `say` gives the error of the first bad position of a tensor of `shape`.
    pub(crate) fn word_that_says(
        &self,
        shape: &[usize],
        say: impl Fn(&[usize], i32) -> KernelError + Send + Sync + 'static,
    ) -> Result<*mut u8> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if ledger.base == 0 {
            let base = self.alloc(WORDS * 8);
            if base.is_null() {
                return Err(KernelError {
                    code: elm_core::ErrorCode::OutOfMemory,
                    message: "no memory for words".into(),
                });
            }
            // SAFETY: just allocated with this size.
            unsafe { self.fill_bytes(base, 0xFF, WORDS * 8)? };
            ledger.base = base as usize;
            ledger.free = (0..WORDS as u32).rev().collect();
        }
        let number = ledger.free.pop().ok_or_else(|| KernelError {
            code: elm_core::ErrorCode::Internal,
            message: "more than 4096 kernels that check indices ran without a look at them".into(),
        })?;
        ledger.taken.push(Word { number, shape: shape.into(), say: Box::new(say) });
        Ok((ledger.base + number as usize * 8) as *mut u8)
    }

    /// The words of kernels that were submitted since the last call; `None` if none took one.
    pub fn take_words(&'static self) -> Option<Arc<Words>> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if ledger.taken.is_empty() {
            return None;
        }
        Some(Arc::new(Words { gpu: self, words: std::mem::take(&mut ledger.taken) }))
    }

    /// How many words can still be taken.
    pub fn free_words(&self) -> usize {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if ledger.base == 0 { WORDS } else { ledger.free.len() }
    }

    /// Bytes of page-locked memory that [`Gpu::read_words`] wants.
    pub const WORDS_BYTES: usize = WORDS * 8;

    /// Submits a copy of all words into page-locked memory.
    ///
    /// # Safety
    /// `to` has room for [`Gpu::WORDS_BYTES`] and is not used before the copy has run.
    pub unsafe fn read_words(&self, to: *mut u8) -> Result<()> {
        let base = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).base;
        if base == 0 {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::write_bytes(to, 0xFF, Self::WORDS_BYTES) };
            return Ok(());
        }
        // SAFETY: the words live as long as the device; the rest is the caller's promise.
        unsafe { self.download(base as *const u8, to, Self::WORDS_BYTES) }
    }
}

impl Words {
    /// What went wrong according to `seen`, a copy of all words that was made after the kernels ran.
    pub fn failure(&self, seen: &[u64]) -> Option<KernelError> {
        let bad = self.words.iter().find(|word| seen[word.number as usize] != GOOD)?;
        let word = seen[bad.number as usize];
        let (flat, index) = ((word >> 32) as usize, word as u32 as i32);
        let (mut position, mut rest) = (Vec::new(), flat);
        for &dim in bad.shape.iter().rev() {
            position.insert(0, rest % dim.max(1));
            rest /= dim.max(1);
        }
        Some((bad.say)(&position, index))
    }

    /// Makes words that reported something fit to be used again.
    pub fn clear(&self) {
        let base = self.gpu.ledger.lock().unwrap_or_else(PoisonError::into_inner).base;
        for word in &self.words {
            let at = (base + word.number as usize * 8) as *mut u8;
            // SAFETY: one of the words. A device on which this fails has failed altogether.
            let _ = unsafe { self.gpu.fill_bytes(at, 0xFF, 8) };
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let mut ledger = self.gpu.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.free.extend(self.words.iter().map(|word| word.number));
    }
}
