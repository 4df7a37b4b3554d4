//! Work that is recorded once and run again and again, as one command.
//!
//! While an environment records, its calls are checked and get memory as always, but their work is noted instead of run.
//! Memory comes from a pool of the recording's own, so that the addresses in the work stay good; inputs are copied into
//! it before a run, and results out of it after. All this is the same for every device: how one runs a list of work is
//! [`Program`], which a device with graphs of its own makes from the same list.

use std::collections::HashSet;
use std::sync::Arc;

use elm_core::{ErrorCode, OpDef, OpError, View};

use crate::cell::Cell;
use crate::command::Work;
use crate::device::Device;
use crate::env::{Handle, Tensor};
use crate::private_pool::PrivatePool;
use crate::storage::Storage;

/// Nanoseconds of a kernel beside its arithmetic, which estimates of cost leave out; a list has many.
const LAUNCH: u64 = 150;

/// A list of work as a device likes to run it.
pub trait Program: Send + Sync {
    /// Runs all in order, up to the first failure.
    fn run(&self, device: &Device) -> Result<(), Arc<OpError>>;
}

pub(crate) fn error(message: impl Into<String>) -> OpError {
    OpError::new(ErrorCode::Capture, "capture", message)
}

/// What an environment notes while it records.
pub struct Recorder {
    pub(crate) device: &'static Device,
    pub(crate) pool: Arc<PrivatePool>,
    works: Vec<Work>,
    cost: u64,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// Tensors that were made while recording.
    made: HashSet<Handle>,
    captured: Vec<(Handle, Tensor)>,
    mutated: Vec<Arc<Storage>>,
}

impl Recorder {
    pub fn new(device: &'static Device) -> Recorder {
        Recorder {
            device,
            pool: Arc::new(PrivatePool::new(device)),
            works: Vec::new(),
            cost: 0,
            inputs: Vec::new(),
            outputs: Vec::new(),
            made: HashSet::new(),
            captured: Vec::new(),
            mutated: Vec::new(),
        }
    }

    pub(crate) fn note_made(&mut self, handle: Handle) {
        self.made.insert(handle);
    }

    pub(crate) fn add_input(&mut self, tensor: Tensor) {
        self.inputs.push(tensor);
    }

    /// Notes what a call takes, and refuses what a replay could not repeat.
    pub(crate) fn check(
        &mut self,
        op: &'static OpDef,
        handles: &[Option<Handle>],
        tensors: &[Option<&Tensor>],
    ) -> Result<(), OpError> {
        let refuse = |message: &str| Err(OpError { op: op.name, ..error(message) });
        if op.random {
            return refuse(
                "a replay would draw the same numbers again; draw outside and pass them as an argument",
            );
        }
        for (position, (handle, tensor)) in handles.iter().zip(tensors).enumerate() {
            let (Some(handle), Some(tensor)) = (handle, tensor) else { continue };
            if !self.made.contains(handle) && self.captured.iter().all(|(known, _)| known != handle) {
                self.captured.push((*handle, (*tensor).clone()));
            }
            if !op.input_at(position, tensors.len()).mutates {
                continue;
            }
            let Some(storage) = &tensor.storage else { continue };
            let is = |other: &Tensor| other.storage.as_ref().is_some_and(|other| Arc::ptr_eq(other, storage));
            if self.inputs.iter().any(is) {
                return refuse(
                    "it would write to an argument, of which a replay has a copy; capture that tensor",
                );
            }
            let known = self.mutated.iter().any(|other| Arc::ptr_eq(other, storage));
            if !storage.is_private() && !known {
                self.mutated.push(Arc::clone(storage));
            }
        }
        Ok(())
    }

    pub(crate) fn push(&mut self, device: &Device, work: Work) -> Result<(), OpError> {
        if !device.same(self.device) {
            let message =
                format!("{} lies on {}, but {} is captured", work.op.name, device.name, self.device.name);
            return Err(error(message));
        }
        self.cost += work.cost() + LAUNCH;
        self.works.push(work);
        Ok(())
    }

    /// The tensors that a replay gives, while they live.
    pub(crate) fn set_outputs(&mut self, outputs: Vec<Tensor>) -> Result<(), OpError> {
        let here = |t: &Tensor| t.storage.as_ref().is_some_and(|storage| storage.device.same(self.device));
        if !outputs.iter().all(here) {
            return Err(error(format!("results must lie on {}", self.device.name)));
        }
        self.outputs = outputs;
        Ok(())
    }

    /// Tensors that were made while recording.
    pub(crate) fn made(&self) -> impl Iterator<Item = Handle> {
        self.made.iter().copied()
    }

    /// Ends the recording.
    pub(crate) fn finish(self) -> Recording {
        let moved = self.inputs.iter().chain(&self.outputs);
        let bytes: usize = moved.map(|t| t.layout.elements() * t.dtype.size()).sum();
        let reads = self.captured.iter().filter_map(|(_, t)| t.storage.as_ref());
        Recording {
            reads: reads.map(|storage| Arc::clone(storage.cell())).collect(),
            writes: self.mutated.iter().map(|storage| Arc::clone(storage.cell())).collect(),
            program: self.device.backend.program(self.works),
            device: self.device,
            // Copies of arguments and results: about 4 bytes a nanosecond.
            cost: self.cost + bytes as u64 / 4,
            inputs: self.inputs,
            outputs: self.outputs,
            captured: self.captured,
            mutated: self.mutated,
            _pool: self.pool,
        }
    }
}

/// A recorded list of work with its memory.
pub struct Recording {
    pub(crate) device: &'static Device,
    program: Box<dyn Program>,
    pub(crate) cost: u64,
    /// Where arguments are copied to, and results from.
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<Tensor>,
    /// Tensors of the environment that the work uses in place.
    pub(crate) captured: Vec<(Handle, Tensor)>,
    /// Those that it changes.
    pub(crate) mutated: Vec<Arc<Storage>>,
    reads: Vec<Arc<Cell>>,
    writes: Vec<Arc<Cell>>,
    _pool: Arc<PrivatePool>,
}

/// One run of a recording, with the arguments and results of that run.
pub struct Replay {
    pub recording: Arc<Recording>,
    /// Copied before and after the program, from and to.
    pub before: Vec<(View, View)>,
    pub after: Vec<(View, View)>,
    pub reads: Vec<Arc<Cell>>,
    pub writes: Vec<Arc<Cell>>,
}

impl Replay {
    pub(crate) fn run(self, device: &Device) {
        let poison =
            |cells: &[Arc<Cell>], error: &Arc<OpError>| cells.iter().for_each(|cell| cell.poison(error));
        let recording = &*self.recording;
        if let Some(error) = self.reads.iter().chain(&recording.reads).find_map(|cell| cell.error()) {
            // What is changed in place keeps its old values.
            return poison(&self.writes, error);
        }
        let copy = |pairs: &[(View, View)]| {
            let copied = pairs.iter().try_for_each(|(from, to)| device.copy(from, to));
            copied.map_err(|error| Arc::new(OpError::new(error.code, "capture", error.message)))
        };
        let ran =
            copy(&self.before).and_then(|()| recording.program.run(device)).and_then(|()| copy(&self.after));
        if let Err(error) = ran {
            poison(&self.writes, &error);
            poison(&recording.writes, &error);
        }
        let all =
            |own: &[Arc<Cell>], of_recording: &[Arc<Cell>]| own.iter().chain(of_recording).cloned().collect();
        let (reads, writes) = (all(&self.reads, &recording.reads), all(&self.writes, &recording.writes));
        device.backend.submitted("capture", reads, writes);
    }
}
