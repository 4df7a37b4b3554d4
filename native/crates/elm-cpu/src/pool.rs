//! A pool for one job at a time: the thread that calls `run` works too, helpers join it.

use std::any::Any;
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::level::at_level;
use crate::stream_store::fence;

/// How long a helper looks for work before it sleeps. Waking a sleeping thread costs the caller some 7 µs, a
/// spinning one next to nothing; steps of a model follow each other faster than this.
const SPIN: Duration = Duration::from_micros(50);

type Task = dyn Fn(usize) + Sync + 'static;

struct Job {
    /// Lives on the stack of `run`, which does not return while a helper may read it.
    task: *const Task,
    tasks: usize,
}

struct Shared {
    job: UnsafeCell<Job>,
    /// A job may be entered. Helpers raise `inside` first and look at this after; `run` lowers this first and
    /// waits for `inside` to fall after. In the one order of sequentially consistent operations, a helper that
    /// saw the job open is counted before `run` can return.
    open: AtomicBool,
    /// Counts jobs, so that a helper enters each one once.
    epoch: AtomicUsize,
    inside: AtomicUsize,
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    asleep: Vec<AtomicBool>,
    stop: AtomicBool,
}

// SAFETY: `job` is written by `run` only while no helper is inside, and read by helpers only while it is open.
unsafe impl Sync for Shared {}
// SAFETY: the pointer inside `job` is only followed while the caller of `run` keeps its target alive.
unsafe impl Send for Shared {}

/// Threads that share the tasks of one kernel.
pub struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<Thread>,
    busy: AtomicBool,
}

impl Pool {
    /// A pool of `threads` in all, counting the caller of [`Pool::run`].
    pub fn new(threads: usize) -> Pool {
        let count = threads.max(1) - 1;
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(Job { task: &|_| (), tasks: 0 }),
            open: AtomicBool::new(false),
            epoch: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
            asleep: (0..count).map(|_| AtomicBool::new(false)).collect(),
            stop: AtomicBool::new(false),
        });
        let helpers = (0..count)
            .filter_map(|index| {
                let shared = Arc::clone(&shared);
                let builder = thread::Builder::new().name(format!("openelm-{}", index + 1));
                // A machine that grants no more threads still computes, only slower.
                builder.spawn(move || help(&shared, index)).ok().map(|handle| handle.thread().clone())
            })
            .collect();
        Pool { shared, helpers, busy: AtomicBool::new(false) }
    }

    /// Threads that work on a job.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `task(0) … task(tasks - 1)`, each once, in any order and on any thread; returns when all are done.
    ///
    /// A call from inside a task runs alone on its thread. A panic of a task continues here. Tasks run inside
    /// [`at_level`]: a closure that is `#[inline(always)]` is compiled for each level.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        self.share(tasks, &|i| {
            at_level(
                #[inline(always)]
                || task(i),
            )
        });
    }

    fn share(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.helpers.is_empty() || self.busy.swap(true, SeqCst) {
            (0..tasks).for_each(task);
            fence();
            return;
        }
        let shared = &*self.shared;
        // SAFETY: the lifetime is erased, but this function waits below until no helper can follow the pointer.
        let task: *const Task =
            unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Task>(task) };
        // SAFETY: the job is closed and `inside` was seen at zero when the last one ended, so nobody reads it.
        unsafe { *shared.job.get() = Job { task, tasks } };
        shared.next.store(0, SeqCst);
        shared.epoch.fetch_add(1, SeqCst);
        shared.open.store(true, SeqCst);
        for (helper, asleep) in self.helpers.iter().zip(&shared.asleep) {
            if asleep.swap(false, SeqCst) {
                helper.unpark();
            }
        }
        work(shared);
        shared.open.store(false, SeqCst);
        while shared.inside.load(SeqCst) > 0 {
            std::hint::spin_loop();
        }
        self.busy.store(false, SeqCst);
        let panicked = shared.panic.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(panic) = panicked {
            std::panic::resume_unwind(panic);
        }
    }

    /// Calls `task` on consecutive ranges of at most `grain` that cover `0..len`.
    pub fn run_ranges(&self, len: usize, grain: usize, task: impl Fn(std::ops::Range<usize>) + Sync) {
        let grain = grain.max(1);
        self.run(
            len.div_ceil(grain),
            #[inline(always)]
            |i| task(i * grain..((i + 1) * grain).min(len)),
        );
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.helpers.iter().for_each(Thread::unpark);
    }
}

/// Takes tasks until none is left. The caller has made sure that the job stays valid meanwhile.
fn work(shared: &Shared) {
    // SAFETY: either `run` itself is the caller, or a helper that raised `inside` and then saw the job open.
    let (task, tasks) = unsafe { (&*(*shared.job.get()).task, (*shared.job.get()).tasks) };
    loop {
        let index = shared.next.fetch_add(1, SeqCst);
        if index >= tasks {
            fence();
            return;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task(index)));
        if let Err(panic) = outcome {
            shared.next.store(tasks, SeqCst);
            *shared.panic.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(panic);
        }
    }
}

fn help(shared: &Shared, index: usize) {
    let mut done = 0;
    let mut idle_since = Instant::now();
    let is_new = |done: usize| shared.open.load(SeqCst) && shared.epoch.load(SeqCst) != done;
    while !shared.stop.load(SeqCst) {
        if is_new(done) {
            shared.inside.fetch_add(1, SeqCst);
            if shared.open.load(SeqCst) {
                done = shared.epoch.load(SeqCst);
                work(shared);
            }
            shared.inside.fetch_sub(1, SeqCst);
            idle_since = Instant::now();
        } else if idle_since.elapsed() < SPIN {
            std::hint::spin_loop();
        } else {
            shared.asleep[index].store(true, SeqCst);
            if !is_new(done) && !shared.stop.load(SeqCst) {
                thread::park();
            }
            shared.asleep[index].store(false, SeqCst);
            idle_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads);
            for tasks in [0, 1, 2, 7, 1000] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, |i| {
                    counts[i].fetch_add(1, SeqCst);
                });
                assert!(counts.iter().all(|c| c.load(SeqCst) == 1), "{threads} threads, {tasks} tasks");
            }
        }
    }

    #[test]
    fn jobs_follow_each_other_without_mixing() {
        let pool = Pool::new(3);
        for round in 0..5000 {
            let sum = AtomicUsize::new(0);
            pool.run(4, |i| {
                sum.fetch_add(round * i, SeqCst);
            });
            assert_eq!(sum.load(SeqCst), round * 6);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(64, |i| assert!(i != 40, "task {i}"));
        }));
        assert!(outcome.is_err());
        let count = AtomicUsize::new(0);
        pool.run(10, |_| {
            count.fetch_add(1, SeqCst);
        });
        assert_eq!(count.load(SeqCst), 10);
    }

    #[test]
    fn a_nested_call_runs_on_its_own_thread() {
        let pool = Pool::new(2);
        let count = AtomicUsize::new(0);
        pool.run(4, |_| {
            pool.run(8, |_| {
                count.fetch_add(1, SeqCst);
            });
        });
        assert_eq!(count.load(SeqCst), 32);
    }
}
