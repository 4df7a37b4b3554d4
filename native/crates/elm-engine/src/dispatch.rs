use elm_core::{Arg, Attrs, ErrorCode, Infer, Layout, MAX_RANK, OpDef, OpError, TensorSpec, View};
use smallvec::SmallVec;

use std::sync::Arc;

use crate::command::{Command, KernelCommand, Work};
use crate::device::{Device, DeviceId, META, byte_size, device};
use crate::env::{Env, Handle, Tensor};
use crate::recording::Recorder;
use crate::source::Source;
use crate::storage::Storage;

/// One call as it comes over the wire.
pub struct Call<'a> {
    pub op: usize,
    pub inputs: &'a [Option<Handle>],
    pub attrs: Attrs,
    /// Where an op without inputs makes its result.
    pub device: DeviceId,
    /// Bit i: output i is wanted.
    pub wanted: u32,
}

/// The tensors of the outputs; `None` where nobody wants one.
pub type Outputs = SmallVec<[Option<Handle>; 2]>;

impl Env {
    /// Checks a call, allocates what it writes, and hands it to the device. Returns before it has run.
    pub fn dispatch(&mut self, call: Call) -> Result<Outputs, OpError> {
        let op = elm_ops::OPS[call.op];
        let mut made = Made::new();
        // The recorder is changed while the call borrows tensors of the table.
        let mut recorder = self.recorder.take();
        let started = self.start(op, call, &mut made, recorder.as_deref_mut());
        self.recorder = recorder;
        started?;
        let mut outputs = Outputs::new();
        for tensor in &mut made {
            outputs.push(tensor.take().map(|tensor| self.insert(tensor, op.name)));
        }
        Ok(outputs)
    }

    /// Everything but the handles: `outputs` receives the new tensors.
    fn start(
        &self,
        op: &'static OpDef,
        call: Call,
        outputs: &mut Made,
        mut recorder: Option<&mut Recorder>,
    ) -> Result<(), OpError> {
        let tensors = self.resolve(op, call.inputs)?;
        let mut args: SmallVec<[Option<Arg>; 4]> = SmallVec::new();
        for tensor in &tensors {
            args.push(tensor.map(|t| Arg { dtype: t.dtype, layout: &t.layout }));
        }
        let infer = Infer { op, inputs: &args, attrs: &call.attrs };
        infer.check()?;
        if let Some(recorder) = &mut recorder {
            recorder.check(op, call.inputs, &tensors)?;
        }
        let place = place(&infer, &tensors, call.device)?;
        if let Some(view) = op.view
            && let Some(layout) = view(&infer)?
        {
            let source = tensors[0].expect("a view has an input");
            check_rank(&infer, layout.rank())?;
            outputs.push(Some(Tensor { storage: source.storage.clone(), dtype: source.dtype, layout }));
            return Ok(());
        }
        let specs = (op.infer)(&infer)?;
        specs.iter().try_for_each(|spec| check_rank(&infer, spec.shape.len()))?;
        let Some(device) = place else {
            outputs.extend(on_meta(&specs, call.wanted));
            return Ok(());
        };
        if op.mutates() {
            check_writes(&infer, &tensors)?;
        }
        check_poison(&tensors)?;
        let kernel = device.kernel(call.op).ok_or_else(|| {
            infer.error(ErrorCode::NoKernel, format!("there is no kernel for device \"{}\"", device.name))
        })?;
        let source = Source { device, pool: recorder.as_ref().map(|recorder| &recorder.pool) };
        for (i, spec) in specs.iter().enumerate() {
            let wanted = call.wanted & (1 << i) != 0;
            outputs.push(match wanted {
                true => Some(source.tensor(spec.dtype, &spec.shape, op.name)?),
                false => None,
            });
        }
        let mut work = Work::new(op, kernel, call.attrs);
        let scratch = fill(&mut work, source, &tensors, outputs)?;
        if let Some(recorder) = recorder {
            return recorder.push(device, work);
        }
        if !run_at_once(device, &work, &tensors, outputs)? {
            enqueue(device, work, &tensors, outputs);
        }
        // Only now: a block that is given back may be handed to a command of another environment.
        drop(scratch);
        if sync_mode()
            && let Some(error) = failure_of(device, outputs)
        {
            return Err((*error).clone());
        }
        Ok(())
    }

    fn resolve(
        &self,
        op: &'static OpDef,
        inputs: &[Option<Handle>],
    ) -> Result<SmallVec<[Option<&Tensor>; 4]>, OpError> {
        let named = |error: OpError| OpError {
            message: format!("an input was freed before this call (it was made by {})", error.op),
            op: op.name,
            ..error
        };
        // Loops, here and below: collecting results costs a small call more than its arithmetic.
        let mut tensors = SmallVec::new();
        for handle in inputs {
            tensors.push(match handle {
                Some(handle) => Some(self.get(*handle).map_err(named)?),
                None => None,
            });
        }
        Ok(tensors)
    }
}

/// The new tensors of a call, before they have handles.
type Made = SmallVec<[Option<Tensor>; 2]>;

fn on_meta(specs: &[TensorSpec], wanted: u32) -> Made {
    let meta = |spec: &TensorSpec| Tensor {
        storage: None,
        dtype: spec.dtype,
        layout: Layout::contiguous(&spec.shape),
    };
    specs.iter().enumerate().map(|(i, spec)| (wanted & (1 << i) != 0).then(|| meta(spec))).collect()
}

/// The one device of all inputs; `None` for `meta`.
fn place(
    infer: &Infer,
    tensors: &[Option<&Tensor>],
    default: DeviceId,
) -> Result<Option<&'static Device>, OpError> {
    let mut ids = tensors.iter().flatten().map(|t| t.device());
    let id = ids.next().unwrap_or(default);
    if let Some(other) = ids.find(|&other| other != id) {
        let name = |id: DeviceId| device(id).map_or("meta", |device| device.name.as_str());
        let message = format!("inputs lie on {} and {}; move one with to(device)", name(id), name(other));
        return Err(infer.error(ErrorCode::DeviceMismatch, message));
    }
    if id == META {
        return Ok(None);
    }
    device(id)
        .map(|device| Some(&**device))
        .ok_or_else(|| infer.error(ErrorCode::DeviceUnavailable, format!("there is no device {id}")))
}

fn check_rank(infer: &Infer, rank: usize) -> Result<(), OpError> {
    if rank <= MAX_RANK {
        return Ok(());
    }
    Err(infer.shape_error(format!("the result would have {rank} axes; at most {MAX_RANK} are supported")))
}

fn check_writes(infer: &Infer, tensors: &[Option<&Tensor>]) -> Result<(), OpError> {
    for (position, tensor) in tensors.iter().enumerate() {
        let (def, Some(Tensor { storage: Some(storage), layout, .. })) =
            (infer.op.input_at(position, tensors.len()), tensor)
        else {
            continue;
        };
        if !def.mutates {
            continue;
        }
        if storage.is_pinned() {
            let message = format!(
                "{} is needed by a gradient tape that has not been pulled yet; write after the backward pass",
                def.name
            );
            return Err(infer.error(ErrorCode::InUseByTape, message));
        }
        if layout.may_overlap() {
            let message = format!("{} is a view whose elements share memory; write to a copy", def.name);
            return Err(infer.error(ErrorCode::OverlappingWrite, message));
        }
    }
    Ok(())
}

pub(crate) fn check_poison(tensors: &[Option<&Tensor>]) -> Result<(), OpError> {
    let storages = tensors.iter().flatten().filter_map(|t| t.storage.as_ref());
    match storages.into_iter().find_map(|storage| storage.error()) {
        Some(error) => Err((**error).clone()),
        None => Ok(()),
    }
}

/// The storages that a call writes: its outputs, and what it changes in place.
fn written<'a>(
    op: &'static OpDef,
    tensors: &'a [Option<&Tensor>],
    outputs: &'a [Option<Tensor>],
) -> impl Iterator<Item = &'a Arc<Storage>> {
    let total = tensors.len();
    let mutated = tensors
        .iter()
        .enumerate()
        .filter(move |(i, _)| !op.inputs.is_empty() && op.input_at(*i, total).mutates)
        .filter_map(|(_, tensor)| tensor.and_then(|t| t.storage.as_ref()));
    outputs.iter().flatten().filter_map(|t| t.storage.as_ref()).chain(mutated)
}

/// Fills in the views of a call, and allocates what only the kernel uses: the result, to be held until the work has been
/// handed over.
fn fill(
    work: &mut Work,
    source: Source,
    tensors: &[Option<&Tensor>],
    outputs: &[Option<Tensor>],
) -> Result<Vec<Storage>, OpError> {
    let Work { op, kernel, .. } = *work;
    let mut scratch = Vec::new();
    for (position, tensor) in tensors.iter().enumerate() {
        let Some(tensor) = tensor else {
            work.inputs.push(None);
            continue;
        };
        let view = tensor.view();
        let ready =
            kernel.strided || view.layout.is_contiguous() || op.input_at(position, tensors.len()).mutates;
        if ready {
            work.inputs.push(Some(view));
            continue;
        }
        let bytes = byte_size(view.dtype, view.shape());
        let storage = source.bytes(bytes, op.name, || "a row-major copy of an input".into())?;
        let layout = Layout::contiguous(view.shape());
        let dense = View { base: storage.ptr(), dtype: view.dtype, layout };
        work.copies.push((view, dense.clone()));
        scratch.push(storage);
        work.inputs.push(Some(dense));
    }
    for tensor in outputs {
        work.outputs.push(tensor.as_ref().map(Tensor::view));
    }
    let bytes = (kernel.workspace)(&work.inputs, &work.outputs, &work.attrs);
    if bytes > 0 {
        let what = || "the scratch memory of the kernel".into();
        let storage = source.bytes(Some(bytes), op.name, what)?;
        work.workspace = storage.ptr();
        scratch.push(storage);
    }
    Ok(scratch)
}

/// Runs cheap work if nothing is before it, and says whether it did.
#[inline]
fn run_at_once(
    device: &Device,
    work: &Work,
    tensors: &[Option<&Tensor>],
    outputs: &[Option<Tensor>],
) -> Result<bool, OpError> {
    if !device.backend.is_host() {
        return Ok(false);
    }
    let Some(_turn) = device.stream.turn(work.cost()) else { return Ok(false) };
    // Work that was before may have failed since the first look.
    check_poison(tensors)?;
    if let Err(error) = work.run(device) {
        written(work.op, tensors, outputs).for_each(|storage| storage.cell().poison(&error));
    }
    Ok(true)
}

fn enqueue(device: &Device, work: Work, tensors: &[Option<&Tensor>], outputs: &[Option<Tensor>]) {
    let cell = |storage: &Arc<Storage>| Arc::clone(storage.cell());
    let reads = tensors.iter().flatten().filter_map(|t| t.storage.as_ref()).map(cell).collect();
    let writes = written(work.op, tensors, outputs).map(cell).collect();
    device.stream.enqueue(Command::Kernel(KernelCommand { work, reads, writes }));
}

/// `OPENELM_SYNC=1`: every call runs to its end, so that an error is thrown on its own line.
pub(crate) fn sync_mode() -> bool {
    static SYNC: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *SYNC.get_or_init(|| std::env::var("OPENELM_SYNC").is_ok_and(|v| v == "1"))
}

pub(crate) fn failure_of(device: &Device, outputs: &[Option<Tensor>]) -> Option<Arc<OpError>> {
    device.synchronize();
    let storages = outputs.iter().flatten().filter_map(|t| t.storage.as_ref());
    storages.into_iter().find_map(|storage| storage.error().cloned())
}
