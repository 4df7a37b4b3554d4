use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

/// What went wrong, as callers match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A file does not hold what its format promises.
    Format,
    /// A file cannot be read or written.
    File,
    /// Options that cannot be used, alone or with what is on disk.
    Config,
    /// An argument outside its range.
    Argument,
    /// The caller asked to stop.
    Cancelled,
    /// A defect of this library.
    Internal,
}

impl ErrorKind {
    /// The word of TypeScript's `ErrorCode`; `CANCELLED` becomes the signal's reason there.
    pub const fn code(self) -> &'static str {
        match self {
            ErrorKind::Format => "FORMAT",
            ErrorKind::File => "FILE",
            ErrorKind::Config => "CONFIG",
            ErrorKind::Argument => "INVALID_ARGUMENT",
            ErrorKind::Cancelled => "CANCELLED",
            ErrorKind::Internal => "INTERNAL",
        }
    }
}

/// An error with the file it is about, where there is one.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub path: Option<PathBuf>,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, path: None, message: message.into() }
    }

    pub fn format(path: &Path, message: impl fmt::Display) -> Error {
        let text = format!("{}: {message}", path.display());
        Error { kind: ErrorKind::Format, path: Some(path.to_owned()), message: text }
    }

    pub fn file(path: &Path, doing: &str, cause: &io::Error) -> Error {
        let text = format!("{}: cannot {doing}: {cause}", path.display());
        Error { kind: ErrorKind::File, path: Some(path.to_owned()), message: text }
    }

    pub fn config(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Config, message)
    }

    pub fn argument(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Argument, message)
    }

    pub fn cancelled() -> Error {
        Error::new(ErrorKind::Cancelled, "cancelled")
    }

    /// Names the file of an error that was made from bytes alone.
    pub fn at(mut self, path: &Path) -> Error {
        if self.path.is_none() {
            self.message = format!("{}: {}", path.display(), self.message);
            self.path = Some(path.to_owned());
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Runs `work` and turns a panic into an error of `kind`.
///
/// Parsers of other crates may panic on hostile input (a slice inside a character, an index out of range);
/// what they built so far is dropped, so nothing half-made is seen afterwards.
///
/// One about a file is told by the error alone; a defect of ours is also printed, as panics are.
pub fn guard<T>(kind: ErrorKind, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                print(info);
            }
        }));
    });
    let outer = QUIET.replace(kind == ErrorKind::Format);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    result.unwrap_or_else(|panic| Err(Error::new(kind, format!("{what}: {}", panic_message(&*panic)))))
}

thread_local! {
    /// Whether a panic of this thread is about a file that is being read.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "panicked"
    }
}
