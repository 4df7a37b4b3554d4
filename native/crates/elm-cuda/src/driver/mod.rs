//! The driver's functions with their errors as values, and what was found on this machine.

mod probe;
mod result;

pub use cudarc::driver::sys;
pub use probe::{Probe, name_of, open, probe};
pub use result::{Result, check};
