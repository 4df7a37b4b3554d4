use std::sync::Arc;

use elm_core::{DType, ErrorCode, Layout, OpError, View};
use memmap2::MmapMut;

use crate::command::{Command, Read};
use crate::device::{DeviceId, META, byte_size, device};
use crate::recording::Recorder;
use crate::source::Source;
use crate::storage::Storage;

/// Names a tensor of one environment: generation · 2²⁴ + slot. A slot that is used again gets the next
/// generation, so a stale handle is an error and never another tensor. Fits a JavaScript number.
pub type Handle = u64;

const SLOT_BITS: u32 = 24;
const MAX_GENERATION: u64 = 1 << 28;

/// A layout over a storage, or over nothing on the device `meta`.
#[derive(Clone)]
pub struct Tensor {
    pub storage: Option<Arc<Storage>>,
    pub dtype: DType,
    pub layout: Layout,
}

impl Tensor {
    #[inline]
    pub fn device(&self) -> DeviceId {
        self.storage.as_ref().map_or(META, |storage| storage.device.id)
    }

    /// The memory as kernels see it. Only for tensors with a storage.
    #[inline]
    pub fn view(&self) -> View {
        let base = self.storage.as_ref().map_or(std::ptr::null_mut(), |storage| storage.ptr());
        View { base, dtype: self.dtype, layout: self.layout.clone() }
    }
}

struct Slot {
    generation: u64,
    references: u32,
    tensor: Option<Tensor>,
    /// What made the last tensor of this slot, for the message about a stale handle.
    made_by: &'static str,
}

/// The tensors of one JavaScript environment. Not shared between threads: no locks.
#[derive(Default)]
pub struct Env {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// There while calls are recorded instead of run.
    pub(crate) recorder: Option<Box<Recorder>>,
}

impl Env {
    pub fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn insert(&mut self, tensor: Tensor, made_by: &'static str) -> Handle {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, references: 0, tensor: None, made_by });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2³² tensors")
        });
        assert!(index < 1 << SLOT_BITS, "more than 16 million live tensors: something leaks");
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation % MAX_GENERATION + 1;
        slot.references = 1;
        slot.tensor = Some(tensor);
        slot.made_by = made_by;
        let handle = (slot.generation << SLOT_BITS) | u64::from(index);
        if let Some(recorder) = &mut self.recorder {
            recorder.note_made(handle);
        }
        handle
    }

    /// The op that made a tensor, while that lives.
    pub(crate) fn made_by(&self, handle: Handle) -> Option<&'static str> {
        self.slot(handle).ok().map(|index| self.slots[index].made_by)
    }

    fn slot(&self, handle: Handle) -> Result<usize, OpError> {
        let index = (handle & ((1 << SLOT_BITS) - 1)) as usize;
        match self.slots.get(index) {
            Some(slot) if slot.generation == handle >> SLOT_BITS && slot.tensor.is_some() => Ok(index),
            slot => {
                let made_by = slot.map_or("nothing", |slot| slot.made_by);
                Err(OpError::new(ErrorCode::Disposed, made_by, "this tensor has been freed"))
            }
        }
    }

    pub fn get(&self, handle: Handle) -> Result<&Tensor, OpError> {
        let index = self.slot(handle)?;
        Ok(self.slots[index].tensor.as_ref().expect("slot() found it"))
    }

    pub fn is_live(&self, handle: Handle) -> bool {
        self.slot(handle).is_ok()
    }

    /// One more owner of the tensor; with `pin`, one that needs its present values.
    pub fn retain(&mut self, handle: Handle, pin: bool) -> Result<(), OpError> {
        let index = self.slot(handle)?;
        let slot = &mut self.slots[index];
        slot.references += 1;
        if let (true, Some(Tensor { storage: Some(storage), .. })) = (pin, &slot.tensor) {
            storage.pin();
        }
        Ok(())
    }

    /// One owner less; the last frees the tensor. Returns whether it did. A stale handle is ignored: the owner may
    /// be a finalizer that comes after `dispose`.
    pub fn release(&mut self, handle: Handle, pinned: bool) -> bool {
        let Ok(index) = self.slot(handle) else { return false };
        let slot = &mut self.slots[index];
        if let (true, Some(Tensor { storage: Some(storage), .. })) = (pinned, &slot.tensor) {
            storage.unpin();
        }
        slot.references -= 1;
        if slot.references > 0 {
            return false;
        }
        slot.tensor = None;
        self.free.push(index as u32);
        true
    }

    /// A tensor of host bytes, which are copied before this returns.
    pub fn write(
        &mut self,
        id: DeviceId,
        dtype: DType,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<Handle, OpError> {
        const OP: &str = "tensor";
        self.refuse_in_capture(
            "values from the host would be those of the recording; pass the tensor as an argument",
        )?;
        let expected = byte_size(dtype, shape);
        if expected != Some(bytes.len()) {
            let message = format!("{dtype}{shape:?} takes {expected:?} bytes, got {}", bytes.len());
            return Err(OpError::new(ErrorCode::ShapeMismatch, OP, message));
        }
        let Some(device) = device(id) else {
            let tensor = Tensor { storage: None, dtype, layout: Layout::contiguous(shape) };
            return Ok(self.insert(tensor, OP));
        };
        let tensor = Source::of(device).tensor(dtype, shape, OP)?;
        let storage = tensor.storage.as_ref().expect("a device gives storages");
        let cell = Arc::clone(storage.cell());
        let command = Command::Write { bytes: bytes.to_vec(), to: storage.ptr(), cell };
        device.stream.run_or_enqueue(device, command);
        Ok(self.insert(tensor, OP))
    }

    /// A tensor over `map` from byte `start`. The offset must suit the dtype's alignment.
    pub fn map(
        &mut self,
        id: DeviceId,
        map: &Arc<MmapMut>,
        start: usize,
        dtype: DType,
        shape: &[usize],
    ) -> Result<Handle, OpError> {
        self.refuse_in_capture("a file is loaded before the function is captured")?;
        let bytes = byte_size(dtype, shape)
            .filter(|bytes| start.checked_add(*bytes).is_some_and(|end| end <= map.len()));
        let (Some(bytes), Some(device)) = (bytes, device(id)) else {
            return Err(OpError::new(
                ErrorCode::Format,
                "map",
                format!("{dtype}{shape:?} does not lie inside the file"),
            ));
        };
        let aligned = (map.as_ptr() as usize + start).is_multiple_of(dtype.size());
        if !aligned || !device.backend.is_host() {
            return self.write(id, dtype, shape, &map[start..start + bytes]);
        }
        let storage = Some(Arc::new(Storage::mapped(device, map, start, bytes)));
        Ok(self.insert(Tensor { storage, dtype, layout: Layout::contiguous(shape) }, "load"))
    }

    /// Starts a copy of the values, as they are now, to the host.
    pub fn read(
        &self,
        handle: Handle,
        notify: Option<Box<dyn Fn() + Send + Sync>>,
    ) -> Result<Arc<Read>, OpError> {
        self.refuse_in_capture(
            "values cannot be read while they are recorded; return the tensor and read it outside",
        )?;
        let tensor = self.get(handle)?;
        let Some(storage) = &tensor.storage else {
            let message = "a tensor on device \"meta\" has a shape but no values";
            return Err(OpError::new(ErrorCode::DeviceMismatch, "read", message));
        };
        let read = Read::new(notify);
        let (cell, read_again) = (Arc::clone(storage.cell()), Arc::clone(&read));
        let device = storage.device;
        // Until the command is enqueued, so that no earlier one writes there.
        let dense = match device.backend.is_host() || tensor.layout.is_contiguous() {
            true => None,
            false => Some(Source::of(device).tensor(tensor.dtype, &tensor.layout.shape, "read")?),
        };
        let dense_view = dense.as_ref().map(Tensor::view);
        let command = Command::Read { dense: dense_view, from: tensor.view(), cell, read: read_again };
        // Copying much on the caller's thread would block it; a handful of values is quicker than a round trip.
        if tensor.layout.elements() * tensor.dtype.size() <= 16 * 1024 {
            device.stream.run_or_enqueue(device, command);
        } else {
            device.stream.enqueue(command);
        }
        Ok(read)
    }
}
