//! Leaving the process while a GPU has work.
//!
//! libc's `exit` runs the handlers by which the driver and cuBLASLt take themselves apart, while threads of ours go on:
//! one that is inside a call then, or makes the next one, crashes, and the process ends by a signal instead of its status.
//! So whoever uses the driver holds a [`Visit`], and a handler of ours lets nobody in any more, waits until all have
//! left and until the GPUs have run what they were given. Handlers run in the reverse order of their registration: ours
//! is registered anew whenever the driver may have registered one ([`before_the_driver_goes`]).
//!
//! The wait is bounded, and the handler takes no lock, since the thread that leaves may hold any: it may be the main
//! thread or another one, inside a visit or not. The CPU's threads need none of this: nothing that they use is taken
//! apart before the system ends them.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use elm_core::{ErrorCode, KernelError};

use crate::driver::{Result, sys};

/// How long leaving may take: the thread that submits may be blocked until the GPU has room for its next kernel.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two looks at whether all have left.
const PAUSE: Duration = Duration::from_micros(200);

static GATE: Gate = Gate::new();

/// Context and stream of each open device, as addresses.
static STREAMS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

thread_local! {
    /// Visits of this thread, one inside the other. Numbers without a destructor, which can be read to the very end.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread leaves the process.
    static LEAVES: Cell<bool> = const { Cell::new(false) };
}

struct Gate {
    closed: AtomicBool,
    /// Threads inside.
    visitors: AtomicUsize,
    /// When nobody is waited for any more: one moment for all threads that leave.
    deadline: OnceLock<Instant>,
    /// The wait is over: from here on the driver may be taken apart, and nobody asks it anything.
    left: AtomicBool,
}

/// A thread's right to use the driver. Short ones: none may wait for another thread's.
pub struct Visit<'a> {
    gate: &'a Gate,
    of_thread: PhantomData<*const ()>,
}

/// Lets this thread use the driver until the visit is dropped.
///
/// It never returns once the process is ending, except with an error on the thread that ends it: parking that one would
/// keep the process from ending.
pub fn enter() -> Result<Visit<'static>> {
    GATE.enter()
}

/// To be called after anything by which the driver may have registered handlers of its own: opening a library or a
/// device, loading a module (it opens its compiler for code that is not of this chip).
pub(crate) fn before_the_driver_goes() {
    // On Windows a library's handlers run after the system has ended all other threads, so there is nobody to stop.
    #[cfg(unix)]
    {
        extern "C" fn leave() {
            GATE.leave(LIMIT, are_idle);
        }
        // SAFETY: the handler can be called at any time, any number of times. One that finds no room is one of many.
        unsafe { libc::atexit(leave) };
    }
}

/// Has the end of the process wait for a stream.
pub(crate) fn keep_watch(context: sys::CUcontext, stream: sys::CUstream) {
    let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    streams.push((context as usize, stream as usize));
}

/// Whether no device has work. Nobody else is inside when it is asked.
#[cfg_attr(not(unix), expect(dead_code, reason = "only handlers ask"))]
fn are_idle() -> bool {
    let streams = match STREAMS.try_lock() {
        Ok(streams) => streams,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // The thread that leaves was about to add one.
        Err(TryLockError::WouldBlock) => return true,
    };
    streams.iter().all(|&(context, stream)| {
        // SAFETY: both live as long as the driver, which is only taken apart after this handler. Errors end the wait too.
        unsafe {
            sys::cuCtxSetCurrent(context as sys::CUcontext);
            sys::cuStreamQuery(stream as sys::CUstream) != sys::CUresult::CUDA_ERROR_NOT_READY
        }
    })
}

impl Gate {
    const fn new() -> Gate {
        Gate {
            closed: AtomicBool::new(false),
            visitors: AtomicUsize::new(0),
            deadline: OnceLock::new(),
            left: AtomicBool::new(false),
        }
    }

    fn enter(&self) -> Result<Visit<'_>> {
        let refused = || KernelError {
            code: ErrorCode::DeviceUnavailable,
            message: "the process is ending, and the driver with it".into(),
        };
        if LEAVES.get() {
            return Err(refused());
        }
        let depth = DEPTH.get();
        // A visit inside another one is waited for with it: parking it would keep that from ending.
        if depth == 0 {
            self.visitors.fetch_add(1, SeqCst);
            // Counted before the look: whoever closes the gate looks at the count after it.
            if self.closed.load(SeqCst) {
                self.visitors.fetch_sub(1, SeqCst);
                loop {
                    thread::park();
                }
            }
        }
        DEPTH.set(depth + 1);
        Ok(Visit { gate: self, of_thread: PhantomData })
    }

    /// Lets nobody in, waits for those who are and then for `idle`; false if the time ran out. Only the first of all handlers
    /// does so; what comes after it, or meets it from another thread, waits for its end.
    #[cfg_attr(not(any(unix, test)), expect(dead_code, reason = "only handlers leave"))]
    fn leave(&self, limit: Duration, idle: impl Fn() -> bool) -> bool {
        if !LEAVES.replace(true) && DEPTH.get() > 0 {
            // This thread's visit ends here: nobody waits for it, on whatever thread.
            self.visitors.fetch_sub(1, SeqCst);
        }
        let deadline = *self.deadline.get_or_init(|| Instant::now() + limit);
        let wait_until = |reached: &dyn Fn() -> bool| {
            while !reached() {
                if Instant::now() >= deadline {
                    return false;
                }
                thread::sleep(PAUSE);
            }
            true
        };
        if self.closed.swap(true, SeqCst) {
            return wait_until(&|| self.left.load(SeqCst));
        }
        let in_time = wait_until(&|| self.visitors.load(SeqCst) == 0) && wait_until(&idle);
        self.left.store(true, SeqCst);
        in_time
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0 && !LEAVES.get() {
            self.gate.visitors.fetch_sub(1, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const A_WHILE: Duration = Duration::from_millis(60);

    fn gate() -> &'static Gate {
        Box::leak(Box::new(Gate::new()))
    }

    /// On a thread of its own, as it leaves for good.
    fn leave(gate: &'static Gate, limit: Duration) -> bool {
        thread::spawn(move || gate.leave(limit, || true)).join().unwrap()
    }

    #[test]
    fn nothing_is_submitted_after_leaving_and_the_command_in_hand_is_waited_for() {
        let gate = gate();
        let (began, has_begun) = channel();
        let commands = std::sync::Arc::new(AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&commands);
        thread::spawn(move || {
            loop {
                let _visit = gate.enter().unwrap();
                let _ = began.send(());
                thread::sleep(A_WHILE);
                count.fetch_add(1, SeqCst);
            }
        });
        has_begun.recv_timeout(SOON).unwrap();
        assert!(leave(gate, SOON));
        let ran = commands.load(SeqCst);
        assert!(ran >= 1, "the command in hand ended");
        thread::sleep(3 * A_WHILE);
        assert_eq!(commands.load(SeqCst), ran);
    }

    #[test]
    fn the_wait_is_bounded_for_visitors_and_for_work_and_later_handlers_find_it_over() {
        let gate = gate();
        let (began, has_begun) = channel();
        thread::spawn(move || {
            let _visit = gate.enter().unwrap();
            began.send(()).unwrap();
            thread::sleep(SOON);
        });
        has_begun.recv_timeout(SOON).unwrap();
        let since = Instant::now();
        assert!(!leave(gate, A_WHILE));
        assert!(since.elapsed() >= A_WHILE && since.elapsed() < SOON / 2);
        let since = Instant::now();
        let ask = move || gate.leave(SOON, || unreachable!("the driver may be gone"));
        assert!(thread::spawn(ask).join().unwrap());
        assert!(since.elapsed() < SOON / 2);

        let busy = Gate::new();
        assert!(!thread::scope(|scope| scope.spawn(|| busy.leave(A_WHILE, || false)).join().unwrap()));
    }

    /// Stands for the driver: taken apart by a handler that was registered before ours.
    static TAKEN_APART: AtomicBool = AtomicBool::new(false);

    /// What the test below does in a process of its own.
    #[cfg(unix)]
    fn leave_in_the_middle() -> ! {
        extern "C" fn take_apart() {
            TAKEN_APART.store(true, SeqCst);
            thread::sleep(A_WHILE);
        }
        // SAFETY: the handler only sets a flag and sleeps.
        unsafe { libc::atexit(take_apart) };
        before_the_driver_goes();
        let (began, has_begun) = channel();
        for _ in 0..4 {
            let began = began.clone();
            thread::spawn(move || {
                loop {
                    let _visit = enter();
                    let _ = began.send(());
                    thread::sleep(Duration::from_millis(1));
                    if TAKEN_APART.load(SeqCst) {
                        std::process::abort();
                    }
                }
            });
        }
        has_begun.recv_timeout(SOON).unwrap();
        std::process::exit(7)
    }

    #[test]
    #[cfg(unix)]
    fn a_process_that_leaves_keeps_its_status_while_other_threads_work() {
        const CHILD: &str = "OPENELM_TEST_LEAVES";
        if std::env::var_os(CHILD).is_some() {
            leave_in_the_middle();
        }
        let name = "gate::tests::a_process_that_leaves_keeps_its_status_while_other_threads_work";
        for _ in 0..5 {
            let own = std::env::current_exe().unwrap();
            let child = std::process::Command::new(own).args(["--exact", name]).env(CHILD, "1").output();
            assert_eq!(child.unwrap().status.code(), Some(7));
        }
    }

    #[test]
    fn visits_inside_others_go_on_while_somebody_leaves() {
        let gate = gate();
        let (began, has_begun) = channel();
        let (ended, has_ended) = channel();
        thread::spawn(move || {
            let _outer = gate.enter().unwrap();
            began.send(()).unwrap();
            while !gate.closed.load(SeqCst) {
                thread::yield_now();
            }
            drop(gate.enter().unwrap());
            ended.send(()).unwrap();
        });
        has_begun.recv_timeout(SOON).unwrap();
        assert!(leave(gate, SOON));
        has_ended.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn two_threads_that_leave_from_inside_visits_do_not_wait_for_each_other() {
        let gate = gate();
        let inside = std::sync::Arc::new(std::sync::Barrier::new(2));
        let since = Instant::now();
        let leaving = [0, 1].map(|_| {
            let inside = std::sync::Arc::clone(&inside);
            thread::spawn(move || {
                let _visit = gate.enter().unwrap();
                inside.wait();
                gate.leave(SOON, || true)
            })
        });
        assert_eq!(leaving.map(|thread| thread.join().unwrap()), [true, true]);
        assert!(since.elapsed() < SOON / 2);
    }

    #[test]
    fn the_thread_that_leaves_waits_neither_for_itself_nor_at_the_gate() {
        let gate = gate();
        thread::spawn(move || {
            let _visit = gate.enter().unwrap();
            assert!(gate.leave(SOON, || true));
            assert_eq!(gate.enter().err().unwrap().code, ErrorCode::DeviceUnavailable);
        })
        .join()
        .unwrap();
        // Any other thread stays there.
        let (entered, has_entered) = channel();
        thread::spawn(move || {
            let _visit = gate.enter();
            entered.send(()).unwrap();
        });
        assert_eq!(has_entered.recv_timeout(A_WHILE), Err(RecvTimeoutError::Timeout));
    }
}
