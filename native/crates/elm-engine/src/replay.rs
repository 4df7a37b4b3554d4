use std::sync::Arc;

use elm_core::{ErrorCode, OpError, View};

use crate::command::Command;
use crate::device::{DeviceId, device};
use crate::dispatch::{check_poison, failure_of, sync_mode};
use crate::env::{Env, Handle, Tensor};
use crate::recording::{Recorder, Recording, Replay, error};
use crate::source::Source;

/// Recording and replay of an environment's calls; at most one recording goes on at a time.
impl Env {
    /// From here on calls are recorded instead of run.
    pub fn begin_capture(&mut self, id: DeviceId) -> Result<(), OpError> {
        if self.recorder.is_some() {
            return Err(error("a recording is going on already"));
        }
        let device = device(id).ok_or_else(|| error("\"meta\" computes nothing that could be recorded"))?;
        if device.is_tuning() {
            return Err(error(
                "products are being measured, and nothing runs while it is recorded; record after tuning",
            ));
        }
        self.recorder = Some(Box::new(Recorder::new(device)));
        Ok(())
    }

    /// A tensor like `handle` that stands for it in the recording: a replay copies that argument into it.
    pub fn capture_input(&mut self, handle: Handle) -> Result<Handle, OpError> {
        let like = self.get(handle)?;
        let recorder = self.recorder.as_ref().ok_or_else(|| error("nothing is being recorded"))?;
        if like.storage.as_ref().is_none_or(|storage| !storage.device.same(recorder.device)) {
            return Err(error(format!("arguments must lie on {}", recorder.device.name)));
        }
        let source = Source { device: recorder.device, pool: Some(&recorder.pool) };
        let tensor = source.tensor(like.dtype, &like.layout.shape, "capture")?;
        let handle = self.insert(tensor.clone(), "capture");
        if let Some(recorder) = &mut self.recorder {
            recorder.add_input(tensor);
        }
        Ok(handle)
    }

    /// The tensors that a replay gives, while they live.
    pub fn capture_outputs(&mut self, outputs: &[Handle]) -> Result<(), OpError> {
        let tensors = outputs.iter().map(|&handle| self.get(handle).cloned()).collect::<Result<_, _>>()?;
        self.recorder.as_mut().ok_or_else(|| error("nothing is being recorded"))?.set_outputs(tensors)
    }

    /// Ends the recording. What was made in it must be gone by now.
    pub fn end_capture(&mut self) -> Result<Recording, OpError> {
        let recorder = self.recorder.take().ok_or_else(|| error("nothing is being recorded"))?;
        let private = |handle| {
            let storage = self.get(handle).ok()?.storage.as_ref()?;
            storage.is_private().then(|| self.made_by(handle)).flatten()
        };
        let Some(op) = recorder.made().find_map(private) else {
            return Ok(recorder.finish());
        };
        let error = error(format!(
            "a tensor made inside (by {op}) outlives the function, and a replay would change it; return it, or make it \
             before the function is captured"
        ));
        self.disown(&recorder, &error);
        Err(error)
    }

    /// Ends a recording that failed, without a result.
    pub fn abort_capture(&mut self) {
        if let Some(recorder) = self.recorder.take() {
            self.disown(&recorder, &error("it was made in a recording that failed, so it has no values"));
        }
    }

    /// What a recording leaves behind never got values: whoever reads it hears why.
    fn disown(&self, recorder: &Recorder, error: &OpError) {
        let error = Arc::new(error.clone());
        let left = recorder.made().filter_map(|handle| self.get(handle).ok()?.storage.as_ref());
        left.filter(|storage| storage.is_private()).for_each(|storage| storage.cell().poison(&error));
    }

    /// Refuses what a recording cannot hold, and says why.
    pub fn refuse_in_capture(&self, why: &str) -> Result<(), OpError> {
        if self.recorder.is_some() { Err(error(why)) } else { Ok(()) }
    }

    /// Runs a recording with other arguments; its results are new tensors.
    ///
    /// `None` if a tensor that it captured has been freed: it speaks of what is no more, and must be made again.
    pub fn replay(
        &mut self,
        recording: &Arc<Recording>,
        inputs: &[Handle],
    ) -> Result<Option<Vec<Handle>>, OpError> {
        self.refuse_in_capture("a replay cannot be part of a recording")?;
        if !recording.captured.iter().all(|(handle, _)| self.is_live(*handle)) {
            return Ok(None);
        }
        let tensors =
            inputs.iter().map(|&handle| self.get(handle).map(Some)).collect::<Result<Vec<_>, _>>()?;
        check_inputs(&tensors, &recording.inputs)?;
        if recording.mutated.iter().any(|storage| storage.is_pinned()) {
            let message = "it changes a tensor that a gradient tape needs, which has not been pulled yet";
            return Err(OpError::new(ErrorCode::InUseByTape, "capture", message));
        }
        check_poison(&tensors)?;
        let captured: Vec<Option<&Tensor>> = recording.captured.iter().map(|(_, t)| Some(t)).collect();
        check_poison(&captured)?;
        let device = recording.device;
        let source = Source::of(device);
        let results =
            recording.outputs.iter().map(|like| source.tensor(like.dtype, &like.layout.shape, "capture"));
        let results = results.collect::<Result<Vec<_>, OpError>>()?;
        let command = Replay {
            recording: Arc::clone(recording),
            before: pairs(tensors.iter().flatten().copied(), &recording.inputs),
            after: pairs(&recording.outputs, &results),
            reads: cells(tensors.iter().flatten().copied()),
            writes: cells(&results),
        };
        if device.backend.is_host()
            && let Some(_turn) = device.stream.turn(recording.cost)
        {
            command.run(device);
        } else {
            device.stream.enqueue(Command::Replay(Box::new(command)));
        }
        let results: Vec<Option<Tensor>> = results.into_iter().map(Some).collect();
        if sync_mode()
            && let Some(error) = failure_of(device, &results)
        {
            return Err((*error).clone());
        }
        Ok(Some(results.into_iter().flatten().map(|tensor| self.insert(tensor, "capture")).collect()))
    }
}

fn check_inputs(given: &[Option<&Tensor>], wanted: &[Tensor]) -> Result<(), OpError> {
    let fits = |(given, wanted): (&Tensor, &Tensor)| {
        given.device() == wanted.device()
            && given.dtype == wanted.dtype
            && given.layout.shape == wanted.layout.shape
    };
    if given.len() == wanted.len() && given.iter().copied().flatten().zip(wanted).all(fits) {
        return Ok(());
    }
    Err(error("the arguments are not of the shapes and dtypes that were recorded"))
}

fn pairs<'a>(from: impl IntoIterator<Item = &'a Tensor>, to: &[Tensor]) -> Vec<(View, View)> {
    let pairs = from.into_iter().map(Tensor::view).zip(to.iter().map(Tensor::view));
    pairs.filter(|(from, _)| from.elements() > 0).collect()
}

fn cells<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<Arc<crate::cell::Cell>> {
    tensors.into_iter().filter_map(|t| t.storage.as_ref()).map(|storage| Arc::clone(storage.cell())).collect()
}
