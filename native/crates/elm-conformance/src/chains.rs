//! Calls that follow each other: recorded and run again, they give the bits that they give one by one.
//!
//! A device may have one kernel for several calls of a recording, which conformance of single ops never runs.

use std::sync::Arc;

use elm_core::{Attr, DType, Fill, OpError, SampleInput, Shape, sample};
use elm_engine::{Call, Device, Env, Handle};

use crate::check::Report;
use crate::inputs::{Placement, Random, place, values};

/// One call: its inputs by number, those of the chain first and then the outputs of the calls before it.
struct Step {
    op: &'static str,
    inputs: Vec<Option<usize>>,
    attrs: Vec<(&'static str, Attr)>,
    /// Bits of the outputs that are wanted.
    wanted: u32,
}

struct Chain {
    name: &'static str,
    steps: Vec<Step>,
    inputs: Vec<Input>,
    /// Dtypes of the inputs; each list is a case.
    dtypes: Vec<Vec<DType>>,
    /// What has one kernel for them, at least where the inputs have the first of the dtypes.
    fused: Fused,
}

#[derive(Clone, Copy, PartialEq)]
enum Fused {
    Nowhere,
    OnGpus,
    /// By kernels for chips of capability 9.0 alone.
    OnHopper,
}

impl Fused {
    fn on(self, device: &Device) -> bool {
        match (self, device.capability()) {
            (Fused::Nowhere, _) | (_, None) => false,
            (Fused::OnGpus, Some(_)) => true,
            (Fused::OnHopper, Some(capability)) => capability == (9, 0),
        }
    }
}

struct Input {
    shape: Vec<usize>,
    placement: Placement,
    fill: Fill,
}

use DType::{BF16, F16, F32, F64, I32};

fn input(shape: &[usize]) -> Input {
    Input { shape: shape.to_vec(), placement: Placement::RowMajor, fill: Fill::Uniform(-1.0, 1.0) }
}

/// Dtypes of activations with those that the weights of norms may have beside them.
const WITH_WEIGHTS: [[DType; 2]; 6] =
    [[BF16, BF16], [BF16, F32], [F16, F16], [F16, F32], [F32, F32], [F64, F64]];

fn step(op: &'static str, inputs: &[usize], wanted: u32) -> Step {
    Step { op, inputs: inputs.iter().copied().map(Some).collect(), attrs: Vec::new(), wanted }
}

/// Rows, length of a row, columns, and whether a GPU fuses them. Rows of one warp, of several, of more than a block has;
/// columns of one part and of several, and more of them than there are warps on a chip; sizes that cannot be read in packs,
/// and more rows than one.
const PRODUCTS: [([usize; 3], bool); 14] = [
    ([1, 8, 2], true),
    ([1, 64, 6], true),
    ([1, 1280, 1152], true),
    ([1, 1280, 2400], true),
    ([1, 1288, 50], true),
    ([1, 2048, 3072], true),
    ([1, 3072, 130], true),
    ([1, 4096, 72], true),
    ([1, 64, 20_000], true),
    ([1, 5120, 34], true),
    ([1, 6176, 34], false),
    ([1, 33, 6], false),
    ([2, 1280, 64], false),
    ([17, 64, 64], false),
];

/// A residual's norm, the product behind it, and perhaps a gate.
fn products() -> impl Iterator<Item = Chain> {
    PRODUCTS.into_iter().flat_map(|([rows, k, n], is_fused)| {
        [(Placement::Transposed, false), (Placement::Transposed, true), (Placement::RowMajor, true)].map(
            |(placement, gated)| {
                // Stream, branch, weight of the norm, weight of the product.
                let stream = || input(&[1, rows, k]);
                let weight = Input { placement, ..input(&[k, n]) };
                let mut steps = vec![step("add_rms_norm", &[0, 1, 2], 0b011), step("matmul", &[5, 3], 1)];
                if gated {
                    steps.push(step("swiglu", &[6], 1));
                }
                Chain {
                    name: if gated { "norm, product, gate" } else { "norm, product" },
                    steps,
                    inputs: vec![stream(), stream(), input(&[k]), weight],
                    dtypes: WITH_WEIGHTS.iter().map(|&[of, norm]| vec![of, of, norm, of]).collect(),
                    fused: if is_fused && placement == Placement::Transposed {
                        Fused::OnGpus
                    } else {
                        Fused::Nowhere
                    },
                }
            },
        )
    })
}

/// Batch, tokens, query heads, kv heads, size of a head, capacity of the cache, offset, length; whether Hopper fuses them. The
/// first token, one at each end of a tile of 16 keys and of a round of tiles, a length that is not the offset's, heads of
/// every size that the kernels tell apart, one and eight queries of a kv head; a cache that is too long for clusters, several
/// tokens, and heads that cannot be read in packs.
const TOKENS: [([usize; 8], bool); 17] = [
    ([1, 1, 1, 1, 64, 8, 0, 1], true),
    ([1, 1, 1, 1, 16, 8, 0, 1], false),
    ([1, 1, 4, 1, 64, 70, 15, 16], true),
    ([1, 1, 4, 1, 64, 70, 16, 17], true),
    ([1, 1, 12, 3, 64, 70, 63, 64], true),
    ([1, 1, 12, 3, 64, 70, 64, 65], true),
    ([1, 1, 16, 4, 64, 1100, 1023, 1024], true),
    ([1, 1, 16, 4, 64, 1100, 1024, 1025], true),
    ([1, 1, 24, 6, 128, 2100, 1400, 1401], true),
    ([2, 1, 20, 5, 64, 300, 130, 131], true),
    ([1, 1, 24, 6, 128, 4500, 4300, 4301], false),
    ([3, 1, 8, 1, 128, 90, 80, 81], true),
    ([1, 1, 4, 2, 64, 200, 150, 40], true),
    ([1, 1, 4, 2, 64, 200, 10, 180], true),
    ([1, 1, 2, 1, 256, 9, 3, 4], false),
    ([1, 3, 2, 1, 64, 20, 5, 8], false),
    ([1, 1, 2, 1, 18, 20, 5, 6], false),
];

/// The heads of new tokens go into the cache, and meet what is there.
fn tokens() -> impl Iterator<Item = Chain> {
    TOKENS.into_iter().flat_map(|([batch, tokens, query, kv, dim, capacity, offset, length], is_fused)| {
        let cache = || input(&[batch, kv, capacity, dim]);
        let of_each = |value: usize| Input { fill: Fill::Constant(value as f64), ..input(&[batch]) };
        let inputs = move || {
            let qkv = input(&[batch, tokens, (query + 2 * kv) * dim]);
            vec![qkv, cache(), cache(), of_each(offset), input(&[dim]), input(&[dim]), of_each(length)]
        };
        [true, false].map(|weights| {
            let heads = vec![("query_heads", Attr::Int(query as i64)), ("kv_heads", Attr::Int(kv as i64))];
            let mut projected = Step { attrs: heads, ..step("qk_norm_rope_cache", &[0, 1, 2, 3, 4, 5], 1) };
            if !weights {
                projected.inputs[4..].fill(None);
            }
            let mut attention = step("attention", &[7, 1, 2], 1);
            attention.inputs.extend([None, Some(6)]);
            Chain {
                name: "heads into the cache, attention",
                steps: vec![projected, attention],
                inputs: inputs(),
                dtypes: WITH_WEIGHTS
                    .iter()
                    .map(|&[of, norm]| vec![of, of, of, I32, norm, norm, I32])
                    .collect(),
                fused: if is_fused { Fused::OnHopper } else { Fused::Nowhere },
            }
        })
    })
}

/// Checks every chain on a device.
pub fn check_chains(report: &mut Report, device: &Arc<Device>) {
    for chain in products().chain(tokens()) {
        let shapes: Vec<_> = chain.inputs.iter().map(|input| input.shape.clone()).collect();
        for (number, dtypes) in chain.dtypes.iter().enumerate() {
            report.checked += 1;
            let before = elm_engine::fused_calls();
            let outcome = chain.check(device, dtypes);
            // Kernels read through the first dtypes alone do not show that others are fused as well.
            let was_fused = elm_engine::fused_calls() > before;
            let should_be = number == 0 && chain.fused.on(device);
            let outcome = outcome.and_then(|()| match should_be && !was_fused {
                true => Err("the calls were not fused".into()),
                false => Ok(()),
            });
            if let Err(reason) = outcome {
                let at = format!("{} {shapes:?} {dtypes:?} on {}", chain.name, device.name);
                report.failures.push(format!("{at}: {reason}"));
            }
        }
    }
}

impl Chain {
    fn check(&self, device: &Arc<Device>, dtypes: &[DType]) -> Result<(), String> {
        let text = |error: OpError| error.to_string();
        let mut env = Env::default();
        // What is changed in place is there twice.
        let inputs = self.place(&mut env, device, dtypes).map_err(text)?;
        let recorded = self.place(&mut env, device, dtypes).map_err(text)?;
        let wanted = self.run(&mut env, device, &inputs, false).map_err(text)?;
        // All results in memory of their own; and memory of results that are dropped on the way may serve later calls.
        for drops in [false, true] {
            env.begin_capture(device.id).map_err(text)?;
            let made = self.run(&mut env, device, &recorded, drops).map_err(text)?;
            env.capture_outputs(&made).map_err(text)?;
            for &handle in &made {
                env.release(handle, false);
            }
            let recording = Arc::new(env.end_capture().map_err(text)?);
            let got = env.replay(&recording, &[]).map_err(text)?.ok_or("a captured tensor is gone")?;
            let first = wanted.len() - got.len();
            let pairs = inputs.iter().chain(&wanted[first..]).zip(recorded.iter().chain(&got));
            for (number, (&one, &other)) in pairs.enumerate() {
                let bytes = |handle: Handle| {
                    env.read(handle, None).map_err(text)?.wait().map_err(|error| error.to_string())
                };
                if bytes(one)? != bytes(other)? {
                    let which = if number < inputs.len() { number } else { number + first };
                    return Err(format!("tensor {which} has other bits when recorded (drops: {drops})"));
                }
            }
        }
        Ok(())
    }

    fn place(&self, env: &mut Env, device: &Arc<Device>, dtypes: &[DType]) -> Result<Vec<Handle>, OpError> {
        let mut random = Random(7);
        let place = |(input, &dtype): (&Input, &DType)| {
            let sample = SampleInput { shape: Shape::from_slice(&input.shape), fill: input.fill };
            let numbers = values(&sample, dtype, &mut random);
            place(env, device.id, &numbers, dtype, &input.shape, input.placement)
        };
        self.inputs.iter().zip(dtypes).map(place).collect()
    }

    /// All outputs; the last one alone if each is dropped after its last use.
    fn run(
        &self,
        env: &mut Env,
        device: &Arc<Device>,
        inputs: &[Handle],
        drops: bool,
    ) -> Result<Vec<Handle>, OpError> {
        let mut all = inputs.to_vec();
        for (number, step) in self.steps.iter().enumerate() {
            let op =
                elm_ops::OPS.iter().position(|op| op.name == step.op).expect("chains name ops that exist");
            let given: Vec<Option<Handle>> =
                step.inputs.iter().map(|input| input.map(|input| all[input])).collect();
            let named =
                step.attrs.iter().fold(sample(&[]), |all, (name, value)| all.attr(name, value.clone()));
            let attrs = named.attrs(elm_ops::OPS[op]);
            let call = Call { op, inputs: &given, attrs, device: device.id, wanted: step.wanted };
            all.extend(env.dispatch(call)?.into_iter().flatten());
            if drops {
                let is_needed = |handle: usize| {
                    self.steps[number + 1..].iter().any(|later| later.inputs.contains(&Some(handle)))
                };
                let last = all.len() - 1;
                for dropped in (inputs.len()..last).filter(|&handle| !is_needed(handle)) {
                    env.release(all[dropped], false);
                }
            }
        }
        Ok(if drops { vec![all[all.len() - 1]] } else { all.split_off(inputs.len()) })
    }
}
