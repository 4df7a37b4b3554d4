//! Which way of a product is the fastest here, by running them.

use super::plan::{Description, Key};
use super::table::{Algorithm, Entry};
use super::{Blas, Product, WORKSPACE};
use crate::Gpu;
use crate::driver::{Result, check, sys};

/// Ways of one product that are tried.
const MOST: usize = 16;
/// Rounds in which every way is timed once; the middle one counts.
const ROUNDS: usize = 7;
/// A way that takes so many times as long as the best at first sight is not timed further.
const HOPELESS: f64 = 2.0;
/// Times up to so many times the best are as good as it.
const TIE: f64 = 1.02;
/// Microseconds that one timing lasts if the product is short, and the most runs for it.
const SPAN: f64 = 200.0;
const MOST_RUNS: usize = 20;
/// Bytes of a result that are looked at for whether they are the same every time.
const COMPARED: usize = 64 << 20;
/// Fills of the workspace that keep the device busy until the runs behind them are submitted.
const FILLS: usize = 8;

/// The first of those that are as fast as the best, so that chance does not decide between equals; `None` of nothing.
fn choose(times: &[f64]) -> Option<usize> {
    let best = times.iter().copied().min_by(f64::total_cmp)?;
    times.iter().position(|&time| time <= best * TIE)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// How many runs are timed at once.
fn runs_for(microseconds: f64) -> usize {
    ((SPAN / microseconds.max(1.0)) as usize).clamp(1, MOST_RUNS)
}

/// A way that works.
struct Candidate {
    algorithm: Algorithm,
    /// Of one run each, in microseconds; the first of them only tells how long it takes about.
    times: Vec<f64>,
}

impl Gpu {
    /// Times the ways of a product with its own factors and a result of its own; `None` where there is no memory for that.
    ///
    /// The stream is not being captured.
    pub(super) fn measure(
        &self,
        blas: &Blas,
        product: &Product,
        key: &Key,
        description: &Description,
    ) -> Result<Option<Entry>> {
        let Some(scratch) = Scratch::of(self, key.result_bytes()) else { return Ok(None) };
        let timer = Timer::new(self)?;
        let run = |algorithm: &Algorithm| blas.submit(self, description, algorithm, product, scratch.start);
        let time = |algorithm: &Algorithm, runs: usize| {
            // SAFETY: the workspace is used in the order of the stream, and holds nothing between products.
            (0..FILLS).try_for_each(|_| unsafe { self.fill_bytes(blas.workspace, 0, WORKSPACE) })?;
            timer
                .time(|| (0..runs).try_for_each(|_| run(algorithm)))
                .map(|microseconds| microseconds / runs as f64)
        };
        let mut algorithms = description.candidates(blas, key, 1)?;
        let first = algorithms[0];
        let others = description.candidates(blas, key, MOST)?.into_iter();
        algorithms.extend(others.filter(|other| *other != first && description.takes(blas, other)));
        algorithms.truncate(MOST);
        let count = algorithms.len();
        // The sums of `c += a · b` begin somewhere.
        scratch.clear()?;
        let mut candidates = Vec::with_capacity(count);
        for algorithm in algorithms {
            // The library may refuse one at last; the device tells of errors of its own when it is waited for.
            if run(&algorithm).is_ok() {
                candidates.push(Candidate { algorithm, times: vec![time(&algorithm, 1)?] });
            } else {
                self.wait()?;
            }
        }
        let best = candidates.iter().map(|c| c.times[0]).fold(f64::INFINITY, f64::min);
        candidates.retain(|c| c.algorithm == first || c.times[0] <= best * HOPELESS);
        for candidate in &mut candidates {
            candidate.times.clear();
        }
        // In turns: what changes with time, such as the clock, is the same for all.
        for _ in 0..ROUNDS {
            for candidate in &mut candidates {
                candidate.times.push(time(&candidate.algorithm, runs_for(best))?);
            }
        }
        let mut measured: Vec<(Algorithm, f64)> =
            candidates.into_iter().map(|mut c| (c.algorithm, median(&mut c.times))).collect();
        let time_of_first = measured.iter().find(|(algorithm, _)| *algorithm == first).map(|found| found.1);
        while let Some(chosen) = choose(&measured.iter().map(|m| m.1).collect::<Vec<_>>()) {
            let (algorithm, best) = measured[chosen];
            if scratch.is_same_every_time(|| run(&algorithm))? {
                let first = time_of_first.unwrap_or(best);
                return Ok(Some(Entry { algorithm, candidates: count, first, best }));
            }
            measured.remove(chosen);
        }
        Ok(None)
    }
}

/// Memory for a result that nobody wants.
struct Scratch<'a> {
    gpu: &'a Gpu,
    start: *mut u8,
    bytes: usize,
}

impl<'a> Scratch<'a> {
    fn of(gpu: &'a Gpu, bytes: usize) -> Option<Scratch<'a>> {
        let start = gpu.alloc(bytes);
        (!start.is_null()).then_some(Scratch { gpu, start, bytes })
    }

    fn clear(&self) -> Result<()> {
        // SAFETY: its own memory.
        unsafe { self.gpu.fill_bytes(self.start, 0, self.bytes) }
    }

    /// Whether three runs give the same bits.
    fn is_same_every_time(&self, run: impl Fn() -> Result<()>) -> Result<bool> {
        let bytes = self.bytes.min(COMPARED);
        let bits = || {
            let mut bits = vec![0u8; bytes];
            self.clear()?;
            run()?;
            // SAFETY: both are as long, and the copy has run before the bytes are looked at.
            unsafe { self.gpu.download(self.start, bits.as_mut_ptr(), bytes)? };
            self.gpu.wait()?;
            Ok(bits)
        };
        let first = bits()?;
        Ok(first == bits()? && first == bits()?)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // SAFETY: it came from there, and freeing waits for what uses it.
        unsafe { self.gpu.free(self.start) };
    }
}

/// Two events that know when they happened.
struct Timer<'a> {
    gpu: &'a Gpu,
    events: [sys::CUevent; 2],
}

impl<'a> Timer<'a> {
    fn new(gpu: &'a Gpu) -> Result<Timer<'a>> {
        let mut timer = Timer { gpu, events: [std::ptr::null_mut(); 2] };
        gpu.bind();
        for event in &mut timer.events {
            // SAFETY: writes one handle.
            let status = unsafe { sys::cuEventCreate(event, sys::CUevent_flags::CU_EVENT_DEFAULT as u32) };
            check(status, "to make an event")?;
        }
        Ok(timer)
    }

    /// Microseconds of the device between the beginning and the end of what `body` submits.
    fn time(&self, body: impl FnOnce() -> Result<()>) -> Result<f64> {
        let [begin, end] = self.events;
        let mut milliseconds = 0.0f32;
        // SAFETY: live handles; the last call writes one number.
        unsafe {
            check(sys::cuEventRecord(begin, self.gpu.stream), "to record an event")?;
            body()?;
            check(sys::cuEventRecord(end, self.gpu.stream), "to record an event")?;
            check(sys::cuEventSynchronize(end), "the device failed")?;
            check(sys::cuEventElapsedTime_v2(&raw mut milliseconds, begin, end), "to time a product")?;
        }
        Ok(f64::from(milliseconds) * 1000.0)
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        for event in self.events.into_iter().filter(|&event| !event.is_null()) {
            // SAFETY: the last use of the handle.
            unsafe { sys::cuEventDestroy_v2(event) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_taken_and_of_equals_the_earlier() {
        assert_eq!(choose(&[10.0, 7.0, 8.0]), Some(1));
        assert_eq!(choose(&[10.1, 10.0, 10.05]), Some(0));
        // The heuristic's first keeps its place within 2 %, and loses it beyond.
        assert_eq!(choose(&[10.2, 10.0]), Some(0));
        assert_eq!(choose(&[10.3, 10.19, 10.0]), Some(1));
        assert_eq!(choose(&[5.0]), Some(0));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn the_middle_counts() {
        assert_eq!(median(&mut [9.0, 1.0, 2.0, 100.0, 3.0]), 3.0);
        assert_eq!(median(&mut [4.0]), 4.0);
    }

    #[test]
    fn short_products_are_timed_together() {
        assert_eq!([0.0, 5.0, 20.0, 150.0, 1e5].map(runs_for), [20, 20, 10, 1, 1]);
    }
}
