use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use elm_text::{Error, ErrorKind, Result, guard};

/// Makes batches one after another until there are no more.
pub trait BatchSource: Send + 'static {
    type Batch: Send + 'static;

    fn next_batch(&mut self) -> Result<Option<Self::Batch>>;
}

/// Runs a source on a thread of its own, up to `depth` batches ahead. Dropped, the thread ends after its batch.
pub struct Prefetch<B> {
    batches: Mutex<Receiver<Result<B>>>,
}

impl<B: Send + 'static> Prefetch<B> {
    pub fn start<S: BatchSource<Batch = B>>(mut source: S, depth: usize) -> Result<Prefetch<B>> {
        let (sender, batches) = sync_channel(depth.max(1));
        let work = move || {
            loop {
                let batch = guard(ErrorKind::Internal, "loader", || source.next_batch()).transpose();
                let Some(batch) = batch else { return };
                let last = batch.is_err();
                if sender.send(batch).is_err() || last {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("elm-loader".into())
            .spawn(work)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("cannot start a thread: {error}")))?;
        Ok(Prefetch { batches: Mutex::new(batches) })
    }

    /// The next batch, waiting for it; none after the last or after an error.
    pub fn next(&self) -> Result<Option<B>> {
        let batches = self.batches.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        batches.recv().ok().transpose()
    }
}
