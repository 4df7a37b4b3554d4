//! An ordered queue and the one thread that works it off.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::Command;
use crate::device::Device;

/// Commands that may wait; past this a caller blocks until half of them are gone: waking it for each would cost the
/// stream's thread more than most commands. More of them would not fit into the cache of a core.
const CAPACITY: u64 = 1024;
/// Work that costs less than handing it to another thread.
const INLINE_NANOSECONDS: u64 = 5_000;
/// How long the thread looks for work before it sleeps (waking it costs the caller some 7 µs).
const SPIN: Duration = Duration::from_micros(50);

/// See [`Stream::turn`].
pub struct Turn<'a> {
    _queue: MutexGuard<'a, VecDeque<Command>>,
}

#[derive(Default)]
pub struct Stream {
    queue: Mutex<VecDeque<Command>>,
    /// Commands that were ever enqueued, and those of them that have ended.
    issued: AtomicU64,
    ended: AtomicU64,
    asleep: AtomicBool,
    /// Callers that wait for room, and the first number of ended commands that somebody waits for (0: nobody does). They
    /// change under the lock, so that whoever finds none needs no lock, nor a system call to tell nobody.
    blocked: AtomicUsize,
    awaited: AtomicU64,
    work: Condvar,
    room: Condvar,
    progress: Condvar,
    stalls: AtomicU64,
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Command>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of a caller whose work is so cheap that handing it over would cost more, if nothing is before it.
    ///
    /// As long as it is held nobody else runs or enqueues anything.
    pub fn turn(&self, cost: u64) -> Option<Turn<'_>> {
        if cost >= INLINE_NANOSECONDS {
            return None;
        }
        let queue = self.lock();
        (self.pending() == 0).then_some(Turn { _queue: queue })
    }

    /// Runs a command at once if the device is the host and nothing is before it; enqueues it otherwise.
    pub fn run_or_enqueue(&self, device: &Device, command: Command) {
        if device.backend.is_host()
            && let Some(_turn) = self.turn(0)
        {
            return command.run(device);
        }
        self.enqueue(command);
    }

    pub fn enqueue(&self, command: Command) {
        let mut queue = self.lock();
        if self.pending() >= CAPACITY {
            self.stalls.fetch_add(1, SeqCst);
            self.blocked.fetch_add(1, SeqCst);
            while self.pending() >= CAPACITY {
                queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            self.blocked.fetch_sub(1, SeqCst);
        }
        queue.push_back(command);
        self.issued.fetch_add(1, SeqCst);
        drop(queue);
        if self.asleep.load(SeqCst) {
            self.work.notify_one();
        }
    }

    /// Blocks until all that was enqueued before this call has ended.
    pub fn wait_all(&self) {
        let target = self.issued.load(SeqCst);
        let mut queue = self.lock();
        loop {
            let first = self.awaited.load(SeqCst);
            if first == 0 || target < first {
                self.awaited.store(target, SeqCst);
            }
            if self.ended.load(SeqCst) >= target {
                return;
            }
            queue = self.progress.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
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
        let spawned = thread::Builder::new().name("openelm-stream".into()).spawn(move || serve(&weak));
        spawned.expect("the system grants one thread for the device");
    }

    /// Swaps `commands`, which is empty, for all there are, after spinning and then sleeping; a long sleep ends without
    /// any, to look for shutdown.
    fn take(&self, commands: &mut VecDeque<Command>) {
        if self.pending() == 0 {
            let since = Instant::now();
            while self.pending() == 0 && since.elapsed() < SPIN {
                std::hint::spin_loop();
            }
        }
        let mut queue = self.lock();
        if queue.is_empty() {
            self.asleep.store(true, SeqCst);
            // An enqueuer that did not see `asleep` has pushed before this lock was taken, or will see it.
            let woken = self.work.wait_timeout_while(queue, Duration::from_secs(1), |queue| queue.is_empty());
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
            self.asleep.store(false, SeqCst);
        }
        std::mem::swap(&mut *queue, commands);
    }

    fn end(&self) {
        let ended = self.ended.fetch_add(1, SeqCst) + 1;
        let awaited = self.awaited.load(SeqCst);
        let is_awaited = awaited > 0 && ended >= awaited;
        // Who is blocked saw more: this number comes by, as the count falls by one at a time.
        let has_room = self.pending() == CAPACITY / 2 && self.blocked.load(SeqCst) > 0;
        if !is_awaited && !has_room {
            return;
        }
        // Who has looked before the command ended sleeps once the lock is free.
        let queue = self.lock();
        if is_awaited {
            // Those who wait for more say so again.
            self.awaited.store(0, SeqCst);
            self.progress.notify_all();
        }
        drop(queue);
        if has_room {
            self.room.notify_all();
        }
    }
}

fn serve(device: &Weak<Device>) {
    let mut commands = VecDeque::new();
    while let Some(device) = device.upgrade() {
        device.stream.take(&mut commands);
        for command in commands.drain(..) {
            command.run(&device);
            device.stream.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::cell::Cell;
    use crate::command::Read;
    use crate::device::device;

    fn write(number: u64, to: &mut u64) -> Command {
        let to = std::ptr::from_mut(to).cast();
        Command::Write { bytes: number.to_ne_bytes().into(), to, cell: Arc::new(Cell::default()) }
    }

    /// Keeps the thread of the CPU busy until the sender goes or sends.
    fn hold(stream: &Stream) -> std::sync::mpsc::Sender<()> {
        let (release, released) = channel();
        let released = Mutex::new(released);
        let wait = move || {
            let _ = released.lock().unwrap().recv();
        };
        stream.enqueue(Command::Fence { read: Read::new(Some(Box::new(wait))), reports: false });
        release
    }

    #[test]
    fn callers_wait_for_room_and_for_the_end_and_all_is_done_in_order() {
        const EACH: u64 = 3 * CAPACITY;
        let stream = &device(0).unwrap().stream;
        let mut last = [0; 3];
        let release = hold(stream);
        thread::scope(|scope| {
            for to in &mut last {
                scope.spawn(|| {
                    let to = to;
                    (1..=EACH).for_each(|number| stream.enqueue(write(number, to)));
                    stream.wait_all();
                    assert_eq!(*to, EACH);
                });
            }
            // None of them can be through while the first command holds all.
            while stream.blocked.load(SeqCst) < 3 {
                thread::yield_now();
            }
            assert_eq!(stream.pending(), CAPACITY);
            assert!(stream.turn(0).is_none());
            drop(release);
        });
        assert!(stream.stalls() >= 3);
    }

    #[test]
    fn a_thread_that_sleeps_wakes_for_the_next_command() {
        let stream = &device(0).unwrap().stream;
        let mut value = 0;
        for number in 1..20 {
            thread::sleep(SPIN * (number % 4) as u32);
            stream.enqueue(write(number, &mut value));
            stream.wait_all();
            assert_eq!(value, number);
        }
    }
}
