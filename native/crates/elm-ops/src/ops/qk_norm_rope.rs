use elm_core::{
    AttrDef, AttrKind, DType, ErrorCode, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Sample,
    TensorSpec, attr, input, optional, public, sample, saved,
};
use smallvec::smallvec;

use super::rope::{require_even, require_offset, turn};

pub static OPS: &[&OpDef] = &[&QK_NORM_ROPE, &QK_NORM_ROPE_BACKWARD];

use DType::{BF16, F16, F32, F64, I32};

pub(super) const ATTRS: &[AttrDef] = &[
    attr::required("query_heads", AttrKind::Int, "Query heads at the front of each row of qkv."),
    attr::required("kv_heads", AttrKind::Int, "Key heads behind them, and as many value heads at the end."),
    attr::f64("eps", 1e-6, "Added to the mean square."),
    attr::f64("base", 10_000.0, "The wavelength of component j is 2π · base^(2j/dim)."),
];

static QK_NORM_ROPE: OpDef = OpDef {
    name: "qk_norm_rope",
    doc: "Splits a joint projection into heads, normalizes queries and keys as `rmsNorm` does over each head, and \
          turns them as `rope` does.\n\n\
          A row of `qkv` holds all query heads, then all key heads, then all value heads. The normalized value is \
          rounded to the dtype of `qkv` before it meets the weight; the rest is computed in f32 (f64 for f64) and \
          rounded once. Without a weight that part is not normalized. Token `t` stands at `offset[b] + t`.\n\n\
          Shapes: `qkv` is `[batch, tokens, (query_heads + 2·kv_heads)·dim]`, weights are `[dim]`, `offset` is \
          `[batch]`; `q` is `[batch, query_heads, tokens, dim]`, `k` and `v` are `[batch, kv_heads, tokens, dim]`.\n\
          Dtypes: floats; half precision also takes f32 weights; `offset` is i32.\n\n\
          Mehta et al., 2024, https://arxiv.org/abs/2404.14619",
    inputs: &[input("qkv"), optional("q_weight"), optional("k_weight"), optional("offset").index()],
    attrs: ATTRS,
    outputs: &[public("q"), public("k"), public("v"), saved("q_rstd"), saved("k_rstd")],
    infer: |call| {
        let heads = Heads::infer(call, 0)?;
        heads.require_weights(call, [1, 2])?;
        require_offset(call, 3, heads.batch)?;
        let [q, k] = heads.specs(call.dtype(0));
        let [q_rstd, k_rstd] = heads.rstd(call.dtype(0));
        Ok(smallvec![q, k.clone(), k, q_rstd, k_rstd])
    },
    signatures: &[
        &[F64, F64, F64, I32],
        &[F32, F32, F32, I32],
        &[BF16, BF16, BF16, I32],
        &[F16, F16, F16, I32],
        &[BF16, F32, F32, I32],
        &[F16, F32, F32, I32],
    ],
    samples: || cases().map(|case| case.finish(case.weights(case.qkv()))).to_vec(),
    oracle,
    tolerance: 8.0,
    ..OpDef::EMPTY
};

static QK_NORM_ROPE_BACKWARD: OpDef = OpDef {
    name: "qk_norm_rope_backward",
    doc: "Gradient of `qk_norm_rope`: `dq` and `dk` are turned back by `−θ`, then go through the gradient of \
          `rms_norm` with the saved `rstd`; `dv` is moved to its place.\n\n\
          Without a weight its gradient is 0, in the dtype of `qkv`.",
    inputs: &[
        input("dq"),
        input("dk"),
        input("dv"),
        input("qkv"),
        optional("q_weight"),
        optional("k_weight"),
        optional("offset").index(),
        input("q_rstd"),
        input("k_rstd"),
    ],
    attrs: ATTRS,
    outputs: &[public("dqkv"), public("dq_weight"), public("dk_weight")],
    infer: |call| {
        let heads = Heads::infer(call, 3)?;
        heads.require_weights(call, [4, 5])?;
        require_offset(call, 6, heads.batch)?;
        let [q, k] = heads.specs(call.dtype(3));
        call.require_shape(0, &q.shape, "that of q")?;
        call.require_shape(1, &k.shape, "that of k")?;
        call.require_shape(2, &k.shape, "that of v")?;
        let [q_rstd, k_rstd] = heads.rstd(call.dtype(3));
        call.require_shape(7, &q_rstd.shape, "the rows of q")?;
        call.require_shape(8, &k_rstd.shape, "the rows of k")?;
        let weight = |position| {
            let dtype = call.optional(position).map_or(call.dtype(3), |weight| weight.dtype);
            TensorSpec::new(dtype, &[heads.dim])
        };
        Ok(smallvec![call.arg(3).spec(), weight(4), weight(5)])
    },
    signatures: &[
        &[F64, F64, F64, F64, F64, F64, I32, F64, F64],
        &[F32, F32, F32, F32, F32, F32, I32, F32, F32],
        &[BF16, BF16, BF16, BF16, BF16, BF16, I32, F32, F32],
        &[F16, F16, F16, F16, F16, F16, I32, F32, F32],
        &[BF16, BF16, BF16, BF16, F32, F32, I32, F32, F32],
        &[F16, F16, F16, F16, F32, F32, I32, F32, F32],
    ],
    samples: || {
        let make = |case: Case| {
            let [batch, tokens, query, kv, dim] = case.sizes;
            let (q, k) = ([batch, query, tokens, dim], [batch, kv, tokens, dim]);
            let start = sample(&[&q, &k, &k]).and(&case.qkv_shape(), Fill::Uniform(-2.0, 2.0));
            let rstd = Fill::Uniform(0.5, 1.5);
            case.finish(case.weights(start)).and(&q[..3], rstd).and(&k[..3], rstd)
        };
        cases().map(make).to_vec()
    },
    oracle: backward_oracle,
    tolerance: 8.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};

#[derive(Clone, Copy)]
pub(super) struct Case {
    /// Batch, tokens, query heads, kv heads, size of a head.
    pub sizes: [usize; 5],
    pub weights: [bool; 2],
    pub offset: bool,
}

/// Every presence of the optional inputs; edges of the tokens a task and of the vector width.
fn cases() -> [Case; 8] {
    let case = |sizes, weights, offset| Case { sizes, weights, offset };
    [
        case([1, 1, 1, 1, 2], [true, true], false),
        case([2, 5, 3, 1, 8], [true, true], true),
        case([2, 3, 4, 2, 18], [false, false], false),
        case([1, 4, 2, 2, 16], [true, false], true),
        case([1, 4, 2, 2, 16], [false, true], false),
        case([0, 4, 2, 1, 8], [true, true], true),
        case([1, 65, 4, 1, 64], [true, true], false),
        case([2, 33, 2, 2, 128], [true, true], true),
    ]
}

impl Case {
    pub fn qkv_shape(&self) -> [usize; 3] {
        let [batch, tokens, query, kv, dim] = self.sizes;
        [batch, tokens, (query + 2 * kv) * dim]
    }
    fn qkv(&self) -> Sample {
        sample(&[&self.qkv_shape()])
    }
    pub fn weights(&self, start: Sample) -> Sample {
        let dim = self.sizes[4];
        self.weights.iter().fold(start, |sample, &given| {
            if given { sample.and(&[dim], Fill::Uniform(-2.0, 2.0)) } else { sample.absent() }
        })
    }
    fn finish(&self, start: Sample) -> Sample {
        let [batch, _, query, kv, _] = self.sizes;
        let start = if self.offset { start.and(&[batch], Fill::Ints(0, 3000)) } else { start.absent() };
        start.int("query_heads", query as i64).int("kv_heads", kv as i64)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub batch: usize,
    pub tokens: usize,
    pub query: usize,
    pub kv: usize,
    pub dim: usize,
}

impl Heads {
    pub fn infer(call: &Infer, qkv: usize) -> Result<Heads, OpError> {
        call.require_rank(qkv, 3)?;
        let count = |name: &str| match call.attrs.int(name) {
            value if value > 0 => Ok(value as usize),
            value => {
                Err(call.error(ErrorCode::InvalidArgument, format!("{name} must be at least 1, got {value}")))
            }
        };
        let (query, kv) = (count("query_heads")?, count("kv_heads")?);
        let shape = call.shape(qkv);
        let heads = query + 2 * kv;
        if !shape[2].is_multiple_of(heads) {
            return Err(call.shape_error(format!(
                "the last axis of qkv must be a multiple of query_heads + 2·kv_heads = {heads}, got {}",
                shape[2]
            )));
        }
        let dim = shape[2] / heads;
        require_even(call, dim)?;
        if dim == 0 {
            return Err(call.shape_error("a head must hold at least two numbers, the last axis of qkv is 0"));
        }
        Ok(Heads { batch: shape[0], tokens: shape[1], query, kv, dim })
    }

    pub fn of(call: &OracleCall, qkv: usize) -> Heads {
        let (query, kv) = (call.attrs.int("query_heads") as usize, call.attrs.int("kv_heads") as usize);
        let shape = call.shape(qkv);
        Heads { batch: shape[0], tokens: shape[1], query, kv, dim: shape[2] / (query + 2 * kv) }
    }

    pub fn require_weights(&self, call: &Infer, positions: [usize; 2]) -> Result<(), OpError> {
        let given = positions.iter().filter(|&&position| call.optional(position).is_some());
        given.into_iter().try_for_each(|&at| call.require_shape(at, &[self.dim], "the size of a head"))
    }

    /// Of `q` and of `k`.
    pub fn specs(&self, dtype: DType) -> [TensorSpec; 2] {
        [self.query, self.kv].map(|heads| TensorSpec::new(dtype, &[self.batch, heads, self.tokens, self.dim]))
    }

    fn rstd(&self, dtype: DType) -> [TensorSpec; 2] {
        [self.query, self.kv]
            .map(|heads| TensorSpec::new(dtype.accumulator(), &[self.batch, heads, self.tokens]))
    }

    /// `(b, h, t, start in qkv)` of the heads `first .. first + count` of a row, in the order of their output.
    fn rows(self, first: usize, count: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let heads = self.query + 2 * self.kv;
        (0..self.batch).flat_map(move |b| {
            (0..count).flat_map(move |h| {
                (0..self.tokens).map(move |t| (b, t, ((b * self.tokens + t) * heads + first + h) * self.dim))
            })
        })
    }
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let heads = Heads::of(call, 0);
    let (q, q_rstd) = queries(call, heads, [1, 3]);
    let (k, k_rstd) = keys(call, heads, [2, 3]);
    vec![q, k, values(call, heads).into(), q_rstd.into(), k_rstd.into()]
}

/// Queries with the reciprocal of each row's root mean square; `weight` and `offset` are where those inputs stand.
pub(super) fn queries(
    call: &OracleCall,
    heads: Heads,
    [weight, offset]: [usize; 2],
) -> (OracleOutput, Vec<f64>) {
    forward_part(call, heads, [0, heads.query], [weight, offset])
}

/// The same of the keys.
pub(super) fn keys(
    call: &OracleCall,
    heads: Heads,
    [weight, offset]: [usize; 2],
) -> (OracleOutput, Vec<f64>) {
    forward_part(call, heads, [heads.query, heads.kv], [weight, offset])
}

pub(super) fn values(call: &OracleCall, heads: Heads) -> Vec<f64> {
    let rows = heads.rows(heads.query + heads.kv, heads.kv);
    rows.flat_map(|(_, _, at)| call.values(0)[at..at + heads.dim].iter().copied()).collect()
}

/// Queries or keys, and the reciprocal of each row's root mean square (1 where nothing is normalized).
fn forward_part(
    call: &OracleCall,
    heads: Heads,
    [first, count]: [usize; 2],
    [weight, offset]: [usize; 2],
) -> (OracleOutput, Vec<f64>) {
    let (dim, dtype) = (heads.dim, call.spec(0).dtype);
    let (mut y, mut size, mut scales) = (Vec::new(), Vec::new(), Vec::new());
    // Where the first rounding falls to the other side of a tie than here, a term moves by one step of the dtype.
    let steps = (dtype.epsilon() / dtype.accumulator().epsilon() / 8.0).max(1.0);
    for (b, t, at) in heads.rows(first, count) {
        let x = &call.values(0)[at..at + dim];
        let mean_square = x.iter().map(|v| v * v).sum::<f64>() / dim as f64;
        let scale = if call.has(weight) { 1.0 / (mean_square + call.attrs.f64("eps")).sqrt() } else { 1.0 };
        scales.push(scale);
        let normed = |i: usize| match call.has(weight) {
            true => dtype.round(x[i] * scale) * call.values(weight)[i],
            false => x[i],
        };
        let half = dim / 2;
        let parts =
            |i: usize| (normed(i % half), normed(i % half + half), turn(call, offset, [b, t, i % half], dim));
        y.extend((0..dim).map(|i| {
            let (first, second, (sin, cos)) = parts(i);
            if i < half { first * cos - second * sin } else { second * cos + first * sin }
        }));
        let steps = if call.has(weight) { steps } else { 1.0 };
        size.extend((0..dim).map(|i| {
            let (first, second, (sin, cos)) = parts(i);
            let own = if i < half {
                (first * cos).abs() + (second * sin).abs()
            } else {
                (second * cos).abs() + (first * sin).abs()
            };
            // The table of the angles is rounded to f32 against 1.
            own * steps + first.abs() + second.abs()
        }));
    }
    (OracleOutput { values: y, magnitudes: Some(size) }, scales)
}

fn backward_oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let heads = Heads::of(call, 3);
    let len = call.values(3).len();
    let mut dqkv = (vec![0.0; len], vec![0.0; len]);
    let dq_weight = backward_part(call, heads, [0, heads.query], [0, 4, 7], &mut dqkv);
    let dk_weight = backward_part(call, heads, [heads.query, heads.kv], [1, 5, 8], &mut dqkv);
    let values = call.values(2).chunks_exact(heads.dim.max(1));
    for ((_, _, at), dv) in heads.rows(heads.query + heads.kv, heads.kv).zip(values) {
        dqkv.0[at..at + heads.dim].copy_from_slice(dv);
        dqkv.1[at..at + heads.dim].iter_mut().zip(dv).for_each(|(size, v)| *size = v.abs());
    }
    vec![OracleOutput { values: dqkv.0, magnitudes: Some(dqkv.1) }, dq_weight, dk_weight]
}

/// The gradient of queries or keys into `dqkv`; returns that of the weight.
fn backward_part(
    call: &OracleCall,
    heads: Heads,
    [first, count]: [usize; 2],
    [grad, weight, rstd]: [usize; 3],
    dqkv: &mut (Vec<f64>, Vec<f64>),
) -> OracleOutput {
    let (dim, half, normed) = (heads.dim, heads.dim / 2, call.has(weight));
    let (mut dweight, mut dweight_size) = (vec![0.0; dim], vec![0.0; dim]);
    for (row, (b, t, at)) in heads.rows(first, count).enumerate() {
        let grad = &call.values(grad)[row * dim..(row + 1) * dim];
        let turned = |i: usize| {
            let (sin, cos) = turn(call, 6, [b, t, i % half], dim);
            let (first, second) = (grad[i % half], grad[i % half + half]);
            if i < half { first * cos + second * sin } else { second * cos - first * sin }
        };
        let turned_size = |i: usize| grad[i % half].abs() + grad[i % half + half].abs();
        if !normed {
            for i in 0..dim {
                (dqkv.0[at + i], dqkv.1[at + i]) = (turned(i), turned_size(i));
            }
            continue;
        }
        let scale = call.values(rstd)[row];
        let xhat: Vec<f64> = call.values(3)[at..at + dim].iter().map(|x| x * scale).collect();
        let w = call.values(weight);
        let mean = (0..dim).map(|i| turned(i) * w[i] * xhat[i]).sum::<f64>() / dim as f64;
        let mean_size = (0..dim).map(|i| (turned_size(i) * w[i] * xhat[i]).abs()).sum::<f64>() / dim as f64;
        for i in 0..dim {
            dqkv.0[at + i] = scale * (turned(i) * w[i] - xhat[i] * mean);
            dqkv.1[at + i] = scale * ((turned_size(i) * w[i]).abs() + xhat[i].abs() * mean_size);
            dweight[i] += turned(i) * xhat[i];
            dweight_size[i] += (turned_size(i) * xhat[i]).abs();
        }
    }
    OracleOutput { values: dweight, magnitudes: Some(dweight_size) }
}
