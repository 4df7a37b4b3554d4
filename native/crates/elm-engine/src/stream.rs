//! An ordered queue and the one thread that works it off.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::command::Command;
use crate::device::Device;

/// Commands that may wait; past this a caller blocks until half of them are gone: waking it for each would cost the
/// stream's thread more than most commands.
const CAPACITY: usize = 4096;
/// Work that costs less than handing it to another thread.
const INLINE_NANOSECONDS: u64 = 5_000;
/// How long the thread looks for work before it sleeps (waking it costs the caller some 7 µs).
const SPIN: Duration = Duration::from_micros(50);

#[derive(Default)]
pub struct State {
    queue: VecDeque<Command>,
    running: bool,
    /// Callers that wait for room, and those that wait for commands to end. Telling nobody costs a system call too.
    blocked: usize,
    waiting: usize,
}

/// See [`Stream::turn`].
pub struct Turn<'a> {
    _state: MutexGuard<'a, State>,
}

#[derive(Default)]
pub struct Stream {
    state: Mutex<State>,
    /// Commands that were ever enqueued or run at once, and those that have ended.
    issued: AtomicU64,
    ended: AtomicU64,
    asleep: AtomicBool,
    work: Condvar,
    room: Condvar,
    progress: Condvar,
    stalls: AtomicU64,
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of a caller whose work is so cheap that handing it over would cost more, if nothing is before it.
    ///
    /// As long as it is held nobody else runs or enqueues anything.
    pub fn turn(&self, cost: u64) -> Option<Turn<'_>> {
        if cost >= INLINE_NANOSECONDS {
            return None;
        }
        let state = self.lock();
        (state.queue.is_empty() && !state.running).then_some(Turn { _state: state })
    }

    /// Runs a command at once if the device is the host and nothing is before it; enqueues it otherwise.
    pub fn run_or_enqueue(&self, device: &Device, command: Command) {
        if device.backend.is_host() {
            let state = self.lock();
            if state.queue.is_empty() && !state.running {
                return command.run(device);
            }
        }
        self.enqueue(command);
    }

    pub fn enqueue(&self, command: Command) {
        let mut state = self.lock();
        if state.queue.len() >= CAPACITY {
            self.stalls.fetch_add(1, SeqCst);
            state.blocked += 1;
            while state.queue.len() >= CAPACITY {
                state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.blocked -= 1;
        }
        state.queue.push_back(command);
        self.issued.fetch_add(1, SeqCst);
        drop(state);
        if self.asleep.load(SeqCst) {
            self.work.notify_one();
        }
    }

    /// Blocks until all that was enqueued before this call has ended.
    pub fn wait_all(&self) {
        let target = self.issued.load(SeqCst);
        let mut state = self.lock();
        state.waiting += 1;
        while self.ended.load(SeqCst) < target {
            state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
    }

    pub fn pending(&self) -> u64 {
        let ended = self.ended.load(SeqCst);
        self.issued.load(SeqCst).saturating_sub(ended)
    }

    pub fn stalls(&self) -> u64 {
        self.stalls.load(SeqCst)
    }

    /// Starts the thread; it ends when the device goes.
    pub fn start(device: &Arc<Device>) {
        let weak = Arc::downgrade(device);
        let spawned = std::thread::Builder::new().name("openelm-stream".into()).spawn(move || serve(&weak));
        spawned.expect("the system grants one thread for the device");
    }

    /// The next command, after spinning and then sleeping; `None` after a long sleep, to look for shutdown.
    fn next(&self) -> Option<Command> {
        let since = Instant::now();
        while self.pending() == 0 && since.elapsed() < SPIN {
            std::hint::spin_loop();
        }
        let mut state = self.lock();
        if state.queue.is_empty() {
            self.asleep.store(true, SeqCst);
            // An enqueuer that did not see `asleep` has pushed before this lock was taken, or will see it.
            let woken =
                self.work.wait_timeout_while(state, Duration::from_secs(1), |state| state.queue.is_empty());
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            self.asleep.store(false, SeqCst);
        }
        let command = state.queue.pop_front();
        state.running = command.is_some();
        command
    }

    fn end(&self) {
        let mut state = self.lock();
        state.running = false;
        self.ended.fetch_add(1, SeqCst);
        let (has_room, is_awaited) =
            (state.blocked > 0 && state.queue.len() <= CAPACITY / 2, state.waiting > 0);
        drop(state);
        if has_room {
            self.room.notify_all();
        }
        if is_awaited {
            self.progress.notify_all();
        }
    }
}

fn serve(device: &Weak<Device>) {
    while let Some(device) = device.upgrade() {
        if let Some(command) = device.stream.next() {
            command.run(&device);
            device.stream.end();
        }
    }
}
