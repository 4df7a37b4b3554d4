//! Schemas of random tensors. Element `i` of a call comes from word `i mod 4` of block `counter + i / 4` of Philox;
//! the oracles compute the same from these words in f64.

use std::f64::consts::TAU;

use elm_core::{
    Attr, AttrDef, AttrKind, Attrs, DType, ErrorCode, Infer, OpDef, OpError, OracleCall, OracleOutput,
    Sample, TensorSpec, attr, philox, sample,
};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&UNIFORM, &NORMAL, &TRUNCATED_NORMAL, &BERNOULLI, &RANDINT, &PERMUTATION];

pub(super) const SEED: AttrDef = attr::required("seed", AttrKind::Int, "Names the stream of random words.");
pub(super) const COUNTER: AttrDef =
    attr::required("counter", AttrKind::Int, "The first block of four words that the call uses.");
const SHAPE: AttrDef = attr::positional("shape", AttrKind::Ints, "The shape of the result.");
const DTYPE: AttrDef = attr::dtype("dtype", DType::F32, "The dtype of the result, a float.");

const RANDOM: OpDef = OpDef { random: true, differentiable: false, ..OpDef::EMPTY };

static UNIFORM: OpDef = OpDef {
    name: "uniform",
    doc: "Random numbers, uniform in `[low, high)`: `low + u · (high − low)` with `u` of 24 random bits.\n\n\
          What would round to `high` becomes the number below it.\n\nShapes: `y` is `shape`. Dtypes: floats.",
    torch: "Tensor.uniform_",
    numpy: "random.Generator.uniform",
    attrs: &[
        SHAPE,
        attr::f64("low", 0.0, "The smallest value."),
        attr::f64("high", 1.0, "The end of the range, not reached."),
        DTYPE,
        SEED,
        COUNTER,
    ],
    infer: |call| {
        let (low, high) = (call.attrs.f64("low"), call.attrs.f64("high"));
        require(call, low <= high && (high - low).is_finite(), || {
            format!("low must not be above high, and both finite; got {low} and {high}")
        })?;
        float_spec(call)
    },
    samples: || float_samples(|sample| sample.f64("low", -1.5).f64("high", 2.25)),
    oracle: |call| {
        let (low, high) = (call.attrs.f64("low"), call.attrs.f64("high"));
        let values = words(call.attrs, elements(call)).map(|w| low + (high - low) * unit(w)).collect();
        let magnitudes = Some(vec![low.abs() + (high - low); elements(call)]);
        vec![OracleOutput { values, magnitudes }]
    },
    ..RANDOM
};

static NORMAL: OpDef = OpDef {
    name: "normal",
    doc: "Random numbers of the normal distribution.\n\n\
          Two words make two of them by the Box–Muller transform: with `u = (k + 1) / 2²⁴` and `v` of 24 bits each, \
          `z = √(−2 ln u) · (cos 2πv, sin 2πv)`, in f32 whatever the dtype; then `mean + std · z`.\n\n\
          Shapes: `y` is `shape`. Dtypes: floats.\n\nBox and Muller, 1958, “A note on the generation of random normal \
          deviates”.",
    torch: "normal",
    numpy: "random.Generator.normal",
    attrs: &[
        SHAPE,
        attr::f64("mean", 0.0, "The mean."),
        attr::f64("std", 1.0, "The standard deviation."),
        DTYPE,
        SEED,
        COUNTER,
    ],
    infer: |call| {
        require_std(call)?;
        float_spec(call)
    },
    samples: || float_samples(|sample| sample.f64("mean", 0.5).f64("std", 3.0)),
    oracle: |call| {
        let (mean, std) = (call.attrs.f64("mean"), call.attrs.f64("std"));
        let all: Vec<u32> = words(call.attrs, elements(call).next_multiple_of(2)).collect();
        let pairs = all.chunks_exact(2).flat_map(|pair| {
            let radius = (-2.0 * (f64::from((pair[0] >> 8) + 1) / 16_777_216.0).ln()).sqrt();
            let angle = TAU * unit(pair[1]);
            [radius * angle.cos(), radius * angle.sin()]
        });
        // The deviate is an f32, so an f64 result is no closer than that.
        let dtype = call.outputs[0].dtype;
        let coarse = DType::F32.epsilon() / dtype.accumulator().epsilon();
        let z: Vec<f64> = pairs.take(elements(call)).collect();
        let magnitudes = z.iter().map(|z| mean.abs() + std * z.abs() * coarse + std * 1e-7).collect();
        vec![OracleOutput {
            values: z.iter().map(|z| mean + std * z).collect(),
            magnitudes: Some(magnitudes),
        }]
    },
    tolerance: 8.0,
    ..RANDOM
};

static TRUNCATED_NORMAL: OpDef = OpDef {
    name: "truncated_normal",
    doc: "Random numbers of the normal distribution between two bounds: `mean + std · Φ⁻¹(p)` with `p` uniform between \
          `Φ(low)` and `Φ(high)`, Φ the distribution function.\n\n\
          Shapes: `y` is `shape`. Dtypes: floats. The inverse is computed in f64.",
    torch: "nn.init.trunc_normal_",
    attrs: &[
        SHAPE,
        attr::f64("mean", 0.0, "The mean before truncation."),
        attr::f64("std", 1.0, "The standard deviation before truncation."),
        attr::f64("low", -2.0, "The lower bound, in standard deviations from the mean."),
        attr::f64("high", 2.0, "The upper bound, in standard deviations from the mean."),
        DTYPE,
        SEED,
        COUNTER,
    ],
    infer: |call| {
        let (low, high) = (call.attrs.f64("low"), call.attrs.f64("high"));
        require(call, low < high && low < 8.0 && high > -8.0, || {
            format!("low must be below high and the range reach into [-8, 8]; got {low} and {high}")
        })?;
        require_std(call)?;
        float_spec(call)
    },
    samples: || {
        let mut samples = float_samples(|sample| sample.f64("mean", 0.5).f64("std", 3.0));
        samples.extend(float_samples(|sample| sample.f64("low", 0.5).f64("high", f64::INFINITY)).pop());
        samples.extend(float_samples(|sample| sample.f64("low", -7.0).f64("high", -6.0)).pop());
        samples
    },
    oracle: |call| {
        let [mean, std, low, high] = ["mean", "std", "low", "high"].map(|name| call.attrs.f64(name));
        let z = |word: u32| {
            let u = (f64::from(word) + 0.5) / 4_294_967_296.0;
            inverse_normal(low, high, u)
        };
        let z: Vec<f64> = words(call.attrs, elements(call)).map(z).collect();
        // What Φ(low) and Φ(high) lose in f64 shows in the inverse: far less than an f32 where bounds are moderate.
        let loss = z.iter().map(|z| (z * z / 2.0).exp() * 8.0);
        let magnitudes = z.iter().zip(loss).map(|(z, loss)| mean.abs() + std * (z.abs() + loss)).collect();
        vec![OracleOutput {
            values: z.iter().map(|z| mean + std * z).collect(),
            magnitudes: Some(magnitudes),
        }]
    },
    ..RANDOM
};

/// The `z` between the bounds with `Φ(z) = Φ(low) + u · (Φ(high) − Φ(low))`, by bisection.
fn inverse_normal(low: f64, high: f64, u: f64) -> f64 {
    // Where both bounds are positive the mirrored problem keeps the digits that 1 − Φ loses.
    if low > 0.0 {
        return -inverse_normal(-high, -low, 1.0 - u);
    }
    let phi = |z: f64| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
    let p = phi(low) + u * (phi(high) - phi(low));
    let (mut a, mut b) = (low.max(-40.0), high.min(40.0));
    while a < b {
        let middle = 0.5 * (a + b);
        if middle == a || middle == b {
            break;
        }
        *(if phi(middle) < p { &mut a } else { &mut b }) = middle;
    }
    a
}

static BERNOULLI: OpDef = OpDef {
    name: "bernoulli",
    doc: "`true` with probability `p`, each element by itself: `u < p` with `u` of 24 random bits.\n\n\
          Shapes: `y` is `shape`. Dtypes: `y` is bool.",
    torch: "bernoulli",
    attrs: &[SHAPE, attr::f64("p", 0.5, "The probability of `true`."), SEED, COUNTER],
    infer: |call| {
        require_probability(call)?;
        Ok(smallvec![TensorSpec { dtype: DType::Bool, shape: call.dims("shape")? }])
    },
    samples: || {
        let of = |p: f64| seeded(sample(&[]).ints("shape", &[3, 67]).f64("p", p), 5);
        vec![of(0.5), of(0.1), of(0.0), of(1.0), seeded(sample(&[]).ints("shape", &[130, 257]), 9)]
    },
    oracle: |call| {
        let p = call.attrs.f64("p");
        let values = words(call.attrs, elements(call)).map(|word| f64::from(unit(word) < p));
        vec![values.collect::<Vec<_>>().into()]
    },
    ..RANDOM
};

static RANDINT: OpDef = OpDef {
    name: "randint",
    doc: "Random whole numbers of `[low, high)`: `low + ⌊w · (high − low) / 2³²⌋` with a word `w` of 32 random bits. \
          No value is likelier than another by more than `2⁻³²`.\n\nShapes: `y` is `shape`. Dtypes: `y` is i32.",
    torch: "randint",
    numpy: "random.Generator.integers",
    attrs: &[
        SHAPE,
        attr::positional("low", AttrKind::Int, "The smallest value."),
        attr::positional("high", AttrKind::Int, "The end of the range, not reached."),
        SEED,
        COUNTER,
    ],
    infer: |call| {
        let (low, high) = (call.attrs.int("low"), call.attrs.int("high"));
        require(call, low < high && low >= -(1 << 31) && high <= 1 << 31, || {
            format!("low must be below high, and both inside i32; got {low} and {high}")
        })?;
        Ok(smallvec![TensorSpec { dtype: DType::I32, shape: call.dims("shape")? }])
    },
    samples: || {
        let of = |shape: &[i64], low: i64, high: i64| {
            seeded(sample(&[]).ints("shape", shape).int("low", low).int("high", high), 3)
        };
        vec![
            of(&[5, 7], -3, 4),
            of(&[], 0, 1),
            of(&[0], 0, 9),
            of(&[33], -(1 << 31), 1 << 31),
            of(&[130, 257], 0, 32_000),
        ]
    },
    oracle: |call| {
        let (low, high) = (call.attrs.int("low"), call.attrs.int("high"));
        // The product of 65 bits does not fit an f64.
        let scaled = |w: u32| ((u64::from(w) * (high - low) as u64) >> 32) as f64;
        let values = words(call.attrs, elements(call)).map(|w| low as f64 + scaled(w));
        vec![values.collect::<Vec<_>>().into()]
    },
    ..RANDOM
};

static PERMUTATION: OpDef = OpDef {
    name: "permutation",
    doc: "The whole numbers of `[0, n)` in random order: sorted by one random word each, equal words by number.\n\n\
          Shapes: `y` is `[n]`. Dtypes: `y` is i32.",
    torch: "randperm",
    numpy: "random.Generator.permutation",
    attrs: &[attr::positional("n", AttrKind::Int, "How many numbers."), SEED, COUNTER],
    infer: |call| {
        let n = call.attrs.int("n");
        require(call, (0..=1 << 31).contains(&n), || format!("n must be of [0, 2³¹], got {n}"))?;
        Ok(smallvec![TensorSpec::new(DType::I32, &[n as usize])])
    },
    samples: || [0, 1, 2, 33, 20_000].map(|n| seeded(sample(&[]).int("n", n), n)).to_vec(),
    oracle: |call| {
        let keys: Vec<u32> = words(call.attrs, elements(call)).collect();
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|&i| keys[i]);
        vec![order.into_iter().map(|i| i as f64).collect::<Vec<_>>().into()]
    },
    ..RANDOM
};

/// The words of a call, by element.
pub(super) fn words(attrs: &Attrs, count: usize) -> impl Iterator<Item = u32> {
    let (seed, counter) = (attrs.int("seed") as u64, attrs.int("counter") as u64);
    (0..count as u64).map(move |i| philox::word(seed, counter, i))
}

/// The 24 high bits of a word as a number of `[0, 1)`.
pub(super) fn unit(word: u32) -> f64 {
    f64::from(word >> 8) / 16_777_216.0
}

/// A sample with a seed that fills both halves of the key, and a counter.
pub(super) fn seeded(sample: Sample, counter: i64) -> Sample {
    sample.int("seed", 0x000A_BCDE_F012_3456).int("counter", counter)
}

fn elements(call: &OracleCall) -> usize {
    call.outputs[0].shape.iter().product()
}

fn float_spec(call: &Infer) -> Result<elm_core::Specs, OpError> {
    let dtype = call.attrs.dtype("dtype");
    if !dtype.is_float() {
        return Err(call.error(ErrorCode::DtypeMismatch, format!("dtype must be a float, got {dtype}")));
    }
    Ok(smallvec![TensorSpec { dtype, shape: call.dims("shape")? }])
}

fn require(call: &Infer, holds: bool, message: impl Fn() -> String) -> Result<(), OpError> {
    if holds { Ok(()) } else { Err(call.error(ErrorCode::InvalidArgument, message())) }
}

fn require_std(call: &Infer) -> Result<(), OpError> {
    let std = call.attrs.f64("std");
    require(call, std >= 0.0 && std.is_finite(), || format!("std must not be negative, got {std}"))
}

/// Refuses a `p` that is not a probability.
pub(super) fn require_probability(call: &Infer) -> Result<(), OpError> {
    let p = call.attrs.f64("p");
    require(call, (0.0..=1.0).contains(&p), || format!("p must be a probability of [0, 1], got {p}"))
}

/// All float dtypes, and lengths around the words of a block and the blocks of a vector.
fn float_samples(with: impl Fn(Sample) -> Sample) -> Vec<Sample> {
    let of = |shape: &[i64], dtype: DType, counter: i64| {
        let shaped = sample(&[]).ints("shape", shape).attr("dtype", Attr::DType(dtype));
        with(seeded(shaped, counter))
    };
    let mut samples: Vec<Sample> = elm_core::FLOAT.iter().map(|&dtype| of(&[5, 67], dtype, 11)).collect();
    for shape in [&[][..], &[0, 3], &[3], &[5], &[33]] {
        samples.push(of(shape, DType::F32, 1 << 40));
    }
    samples.push(of(&[130, 257], DType::F32, 1 << 32));
    samples
}
