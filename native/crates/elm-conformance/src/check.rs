use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use elm_core::{
    Arg, Attrs, DType, Infer, Layout, OpDef, OracleCall, OracleOutput, Sample, SampleInput, Signature,
    TensorSpec,
};
use elm_engine::{Call, Device, Env, Handle};

use crate::compare::compare;
use crate::inputs::{PLACEMENTS, Placement, Random, decode, place, values};

/// What was checked and what did not hold.
#[derive(Default)]
pub struct Report {
    pub ops: usize,
    pub checked: usize,
    pub failures: Vec<String>,
    /// Of all that the ops wrote: two reports of the same checks can be compared by it.
    pub bits: DefaultHasher,
}

impl Report {
    /// The [`bits`](Report::bits) as a number.
    pub fn fingerprint(&self) -> u64 {
        self.bits.finish()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "ops": self.ops,
            "checked": self.checked,
            "failed": self.failures.len(),
            "failures": self.failures.iter().take(50).collect::<Vec<_>>(),
        })
    }
}

/// Changes the values of an output before they are compared: the test of this test.
pub type Tamper = fn(&mut Vec<f64>);

pub fn check_op(report: &mut Report, device: &Arc<Device>, index: usize) {
    check_op_with(report, device, index, |_| ());
}

pub fn check_op_with(report: &mut Report, device: &Arc<Device>, index: usize, tamper: Tamper) {
    let op = elm_ops::OPS[index];
    report.ops += 1;
    let no_inputs: &[Signature] = &[&[]];
    let signatures = if op.inputs.is_empty() { no_inputs } else { op.signatures };
    let placements = if op.inputs.is_empty() { &PLACEMENTS[..1] } else { &PLACEMENTS[..] };
    for (number, sample) in (op.samples)().iter().enumerate() {
        for signature in signatures {
            if !sample.only.is_empty() && signature.first().is_some_and(|dtype| !sample.only.contains(dtype))
            {
                continue;
            }
            let case = Case::new(device, index, sample, signature);
            let wants = case.oracle();
            for &placement in placements {
                report.checked += 1;
                let outcome =
                    wants.as_ref().map_err(Clone::clone).and_then(|w| case.check(placement, w, tamper));
                if let Ok(written) = &outcome {
                    written.iter().for_each(|(_, bytes)| bytes.hash(&mut report.bits));
                }
                if let Err(reason) = outcome {
                    let at =
                        format!("{} sample {number} {signature:?} {placement:?} on {}", op.name, device.name);
                    report.failures.push(format!("{at}: {reason}"));
                }
            }
        }
    }
}

struct Case<'a> {
    device: &'a Arc<Device>,
    index: usize,
    op: &'static OpDef,
    attrs: Attrs,
    inputs: Vec<Option<(TensorSpec, Vec<f64>)>>,
}

/// Bytes and dtypes of what a call wrote: outputs, then mutated inputs.
type Written = Vec<(DType, Vec<u8>)>;

impl<'a> Case<'a> {
    fn new(device: &'a Arc<Device>, index: usize, sample: &Sample, signature: Signature) -> Case<'a> {
        let op = elm_ops::OPS[index];
        let mut random = Random(index as u64 + 1);
        let make = |(position, input): (usize, &Option<SampleInput>)| {
            let input = input.as_ref()?;
            let entry = op.input_index(position, sample.inputs.len());
            let dtype = signature[entry.min(signature.len() - 1)];
            Some((TensorSpec::new(dtype, &input.shape), values(input, dtype, &mut random)))
        };
        let inputs = sample.inputs.iter().enumerate().map(make).collect();
        Case { device, index, op, attrs: sample.attrs(op), inputs }
    }

    fn check(&self, placement: Placement, wants: &[OracleOutput], tamper: Tamper) -> Result<Written, String> {
        let first = self.run(placement, u32::MAX)?;
        let again = self.run(placement, u32::MAX)?;
        if first.iter().zip(&again).any(|(a, b)| a.1 != b.1) {
            return Err("a second run gave other bits".into());
        }
        self.check_unwanted(placement, &first)?;
        self.compare(&first, wants, tamper)?;
        Ok(first)
    }

    /// Public outputs must not depend on whether the saved ones are wanted.
    fn check_unwanted(&self, placement: Placement, full: &Written) -> Result<(), String> {
        if !self.op.outputs.iter().any(|output| output.saved) {
            return Ok(());
        }
        let public = self.op.outputs.iter().enumerate().filter(|(_, output)| !output.saved);
        let positions: Vec<usize> = public.map(|(i, _)| i).collect();
        let wanted = positions.iter().fold(0, |mask, i| mask | (1 << i));
        let part = self.run(placement, wanted)?;
        let same = positions.iter().zip(&part).all(|(&i, part)| full[i].1 == part.1);
        if same { Ok(()) } else { Err("results differ when the saved outputs are not wanted".into()) }
    }

    fn run(&self, placement: Placement, wanted: u32) -> Result<Written, String> {
        let text = |error: elm_core::OpError| error.to_string();
        let mut env = Env::default();
        let handles: Vec<Option<Handle>> = self
            .inputs
            .iter()
            .map(|input| {
                let Some((spec, values)) = input else { return Ok(None) };
                place(&mut env, self.device.id, values, spec.dtype, &spec.shape, placement).map(Some)
            })
            .collect::<Result<_, _>>()
            .map_err(text)?;
        let call = Call {
            op: self.index,
            inputs: &handles,
            attrs: self.attrs.clone(),
            device: self.device.id,
            wanted,
        };
        let outputs = env.dispatch(call).map_err(text)?;
        let mutated = handles.iter().enumerate().filter(|(i, _)| self.op.input_at(*i, handles.len()).mutates);
        let mutated: Vec<Handle> = mutated.filter_map(|(_, handle)| *handle).collect();
        let written = outputs.into_iter().flatten().chain(mutated);
        written
            .map(|handle| {
                let dtype = env.get(handle).map_err(text)?.dtype;
                let bytes = env.read(handle, None).map_err(text)?.wait().map_err(|e| e.to_string())?;
                Ok((dtype, bytes))
            })
            .collect()
    }

    fn oracle(&self) -> Result<Vec<OracleOutput>, String> {
        let layout =
            |input: &Option<(TensorSpec, _)>| input.as_ref().map(|(spec, _)| Layout::contiguous(&spec.shape));
        let layouts: Vec<_> = self.inputs.iter().map(layout).collect();
        let args: Vec<_> = (self.inputs.iter().zip(&layouts))
            .map(|(input, layout)| Some(Arg { dtype: input.as_ref()?.0.dtype, layout: layout.as_ref()? }))
            .collect();
        let infer = Infer { op: self.op, inputs: &args, attrs: &self.attrs };
        let specs = (self.op.infer)(&infer).map_err(|e| e.to_string())?;
        let inputs =
            self.inputs.iter().map(|i| i.as_ref().map(|(spec, v)| (spec.clone(), v.as_slice()))).collect();
        Ok((self.op.oracle)(&OracleCall { inputs, attrs: &self.attrs, outputs: &specs }))
    }

    fn compare(&self, written: &Written, wants: &[OracleOutput], tamper: Tamper) -> Result<(), String> {
        if wants.len() != written.len() {
            return Err(format!("the oracle gives {} results, the op writes {}", wants.len(), written.len()));
        }
        for (position, ((dtype, bytes), want)) in written.iter().zip(wants).enumerate() {
            let mut got = decode(bytes, *dtype);
            tamper(&mut got);
            let name = self.op.outputs.get(position).map_or("a mutated input", |output| output.name);
            compare(&got, want, *dtype, self.op.tolerance).map_err(|reason| format!("{name}{reason}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elm_core::Arity;

    /// Or a kernel could rely on one unseen.
    #[test]
    fn optional_inputs_are_absent_in_some_sample() {
        for op in elm_ops::OPS.iter() {
            for (position, def) in op.inputs.iter().enumerate() {
                let absent = |sample: &Sample| sample.inputs.get(position).is_none_or(Option::is_none);
                assert!(
                    def.arity != Arity::Optional || (op.samples)().iter().any(absent),
                    "{} {}",
                    op.name,
                    def.name
                );
            }
        }
    }

    #[test]
    fn a_wrong_kernel_is_caught_for_every_op() {
        let device = elm_engine::device(0).expect("the CPU is always there");
        for (index, op) in elm_ops::OPS.iter().enumerate() {
            let mut report = Report::default();
            check_op_with(&mut report, device, index, |values| {
                if let Some(last) = values.last_mut() {
                    *last = if *last == 0.0 { 1.0 } else { *last * 1.1 + 1.0 };
                }
            });
            assert!(!report.failures.is_empty(), "{}: a tampered result passed", op.name);
        }
    }
}
