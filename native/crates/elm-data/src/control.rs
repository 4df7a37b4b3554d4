use std::sync::atomic::{AtomicBool, Ordering};

use elm_text::{Error, Result};

/// How far a piece of long work has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    pub phase: &'static str,
    pub done: u64,
    pub total: u64,
    pub unit: &'static str,
    pub documents: u64,
    pub tokens: u64,
}

type Report = Box<dyn Fn(Progress) + Send + Sync>;

/// The caller's side of long work: where it reports to, and the wish to stop.
pub struct Control {
    cancelled: AtomicBool,
    report: Option<Report>,
}

impl Control {
    pub fn new(report: Option<Report>) -> Control {
        Control { cancelled: AtomicBool::new(false), report }
    }

    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// An error once cancelled.
    pub fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::cancelled()) } else { Ok(()) }
    }

    pub fn report(&self, progress: Progress) {
        if let Some(report) = &self.report {
            report(progress);
        }
    }
}
