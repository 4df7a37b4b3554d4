use elm_core::{
    AttrDef, AttrKind, Autocast, DType, Default, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput,
    Sample, TensorSpec, attr, input, optional, public, sample, saved,
};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&ATTENTION, &ATTENTION_BACKWARD];

use DType::{BF16, F16, F32, F64, I32};

const ATTRS: &[AttrDef] = &[
    attr::bool("causal", true, "A query sees its own position and those before it."),
    attr::new("scale", AttrKind::F64, Default::Absent, "Factor of the scores. Default `1 / sqrt(dim)`."),
];

static ATTENTION: OpDef = OpDef {
    name: "attention",
    doc: "Scaled dot-product attention: `y = softmax(scale · q kᵀ) v` over the keys that a query sees, without \
          holding the scores.\n\n\
          With `length = kv_length[b]` (all keys without it) query `i` stands at position \
          `length − query_tokens + i`; keys from `length` on are ignored. `causal` hides the keys behind the query's \
          position. With `documents` a query sees the keys whose number equals that of its own position. A query \
          that sees no key gives 0. Query head `h` reads kv head `h / (query_heads / kv_heads)`.\n\n\
          Shapes: `q` and `y` are `[batch, query_heads, query_tokens, dim]`, `k` and `v` are \
          `[batch, kv_heads, kv_tokens, dim]`, `documents` is `[batch, kv_tokens]`, `kv_length` is `[batch]`.\n\
          Dtypes: floats; half precision computes in f32 and rounds once, or on tensor cores also the weights of the \
          values. `documents` and `kv_length` are i32.\n\n\
          Vaswani et al., 2017, https://arxiv.org/abs/1706.03762; Dao et al., 2022, \
          https://arxiv.org/abs/2205.14135; Ainslie et al., 2023, https://arxiv.org/abs/2305.13245",
    torch: "nn.functional.scaled_dot_product_attention",
    inputs: &[
        input("q"),
        input("k"),
        input("v"),
        optional("documents").index(),
        optional("kv_length").index(),
    ],
    attrs: ATTRS,
    outputs: &[public("y"), saved("lse")],
    infer: |call| {
        let rows = infer_rows(call, 0, 3)?;
        Ok(smallvec![call.arg(0).spec(), rows])
    },
    signatures: &[
        &[F64, F64, F64, I32],
        &[F32, F32, F32, I32],
        &[BF16, BF16, BF16, I32],
        &[F16, F16, F16, I32],
    ],
    samples: || cases().iter().map(|case| case.finish(sample(&[&case.q, &case.kv, &case.kv]))).collect(),
    oracle,
    tolerance: 8.0,
    autocast: Autocast::Lower,
    ..OpDef::EMPTY
};

static ATTENTION_BACKWARD: OpDef = OpDef {
    name: "attention_backward",
    doc: "Gradient of `attention`. With `P = exp(scale · q kᵀ − lse)` where a key is seen and 0 elsewhere, and \
          `S = P · (grad vᵀ − Σ_dim grad · y)`:\n\
          `dq = scale · S k`, `dk = scale · Sᵀ q`, `dv = Pᵀ grad`, summed over the query heads of a kv head.",
    inputs: &[
        input("grad"),
        input("q"),
        input("k"),
        input("v"),
        input("y"),
        input("lse"),
        optional("documents").index(),
        optional("kv_length").index(),
    ],
    attrs: ATTRS,
    outputs: &[public("dq"), public("dk"), public("dv")],
    infer: |call| {
        let rows = infer_rows(call, 1, 6)?;
        call.require_shape(0, call.shape(1), "that of q")?;
        call.require_shape(4, call.shape(1), "that of q")?;
        call.require_shape(5, &rows.shape, "the rows of q")?;
        Ok(smallvec![call.arg(1).spec(), call.arg(2).spec(), call.arg(3).spec()])
    },
    signatures: &[
        &[F64, F64, F64, F64, F64, F64, I32],
        &[F32, F32, F32, F32, F32, F32, I32],
        &[BF16, BF16, BF16, BF16, BF16, F32, I32],
        &[F16, F16, F16, F16, F16, F32, I32],
    ],
    samples: || {
        let make = |case: &Case| {
            let start = sample(&[&case.q, &case.q, &case.kv, &case.kv, &case.q]);
            case.finish(start.and(&case.q[..3], Fill::Uniform(1.0, 4.0)))
        };
        cases().iter().map(make).collect()
    },
    oracle: backward_oracle,
    tolerance: 8.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};

/// Checks the shapes from `q` at `first` and `documents` at `extra` on; returns the spec of `lse`.
fn infer_rows(call: &Infer, first: usize, extra: usize) -> Result<TensorSpec, OpError> {
    (first..first + 3).try_for_each(|position| call.require_rank(position, 4))?;
    let (q, k) = (call.shape(first), call.shape(first + 1));
    if k[0] != q[0] || k[3] != q[3] {
        return Err(call.shape_error("k must have the batch and the head size (last axis) of q"));
    }
    if q[3] == 0 {
        return Err(call.shape_error("a head must hold at least one number, the last axis of q is 0"));
    }
    call.require_shape(first + 2, k, "that of k")?;
    if k[1] == 0 || q[1] % k[1] != 0 {
        return Err(call.shape_error(format!(
            "the heads of q must be a multiple of those of k, got {} and {}",
            q[1], k[1]
        )));
    }
    if call.optional(extra).is_some() {
        call.require_shape(extra, &[k[0], k[2]], "batch and tokens of k")?;
    }
    if call.optional(extra + 1).is_some() {
        call.require_shape(extra + 1, &k[..1], "one length a sequence")?;
    }
    Ok(TensorSpec::new(call.dtype(first).accumulator(), &q[..3]))
}

struct Case {
    q: [usize; 4],
    kv: [usize; 4],
    documents: Option<Fill>,
    kv_length: Option<Fill>,
    causal: bool,
    scale: Option<f64>,
}

impl Case {
    fn finish(&self, mut sample: Sample) -> Sample {
        let [batch, _, keys, _] = self.kv;
        sample = match self.documents {
            Some(fill) => sample.and(&[batch, keys], fill),
            None => sample.absent(),
        };
        sample = match self.kv_length {
            Some(fill) => sample.and(&[batch], fill),
            None => sample.absent(),
        };
        let sample = sample.bool("causal", self.causal);
        self.scale.into_iter().fold(sample, |sample, scale| sample.f64("scale", scale))
    }
}

/// Edges of blocks of 64 queries and 128 keys, of 16 and 6 wide tiles, every ratio of heads, every mask.
fn cases() -> Vec<Case> {
    let case = |q, kv| Case { q, kv, documents: None, kv_length: None, causal: true, scale: None };
    let documents = |fill, case: Case| Case { documents: Some(fill), ..case };
    let length = |fill, case: Case| Case { kv_length: Some(fill), ..case };
    let full = |case: Case| Case { causal: false, ..case };
    vec![
        case([1, 1, 1, 1], [1, 1, 1, 1]),
        case([2, 4, 5, 8], [2, 2, 5, 8]),
        case([1, 4, 65, 16], [1, 1, 65, 16]),
        case([1, 2, 63, 24], [1, 2, 127, 24]),
        case([1, 2, 64, 64], [1, 1, 128, 64]),
        case([1, 1, 257, 8], [1, 1, 257, 8]),
        Case { scale: Some(0.5), ..case([1, 4, 6, 8], [1, 2, 3, 8]) },
        case([2, 3, 1, 33], [2, 3, 129, 33]),
        case([1, 4, 1, 64], [1, 1, 130, 64]),
        case([1, 2, 16, 17], [1, 1, 18, 17]),
        case([0, 2, 4, 8], [0, 2, 4, 8]),
        case([1, 2, 3, 8], [1, 2, 0, 8]),
        case([1, 2, 0, 8], [1, 2, 3, 8]),
        full(case([1, 2, 66, 40], [1, 2, 130, 40])),
        documents(Fill::Documents, case([2, 2, 70, 16], [2, 1, 200, 16])),
        documents(Fill::Documents, case([1, 2, 200, 8], [1, 2, 200, 8])),
        documents(Fill::Ints(0, 3), full(case([2, 2, 21, 16], [2, 1, 33, 16]))),
        documents(Fill::Constant(7.0), case([1, 1, 65, 16], [1, 1, 129, 16])),
        length(Fill::Ints(0, 41), case([4, 2, 4, 16], [4, 1, 40, 16])),
        length(Fill::Constant(33.0), full(case([2, 1, 1, 16], [2, 1, 140, 16]))),
        length(Fill::Constant(2.0), full(documents(Fill::Constant(1.0), case([1, 1, 4, 8], [1, 1, 9, 8])))),
        length(Fill::Constant(0.0), case([1, 2, 2, 8], [1, 2, 5, 8])),
        length(Fill::Ints(100, 150), documents(Fill::Documents, case([3, 4, 6, 16], [3, 2, 150, 16]))),
        // Edges of blocks of tensor cores: 128 queries or keys of one side, 64 of the other.
        case([1, 2, 129, 64], [1, 1, 193, 64]),
        documents(Fill::Documents, case([1, 4, 130, 128], [1, 2, 200, 128])),
        length(
            Fill::Ints(100, 200),
            full(documents(Fill::Ints(0, 3), case([2, 2, 33, 64], [2, 1, 200, 64]))),
        ),
        full(case([1, 1, 64, 128], [1, 1, 257, 128])),
        // Nor may the greatest score be taken before it is scaled, nor a hidden one be −∞ times 0.
        Case { scale: Some(-0.25), ..case([1, 2, 70, 64], [1, 1, 130, 64]) },
        Case { scale: Some(0.0), ..case([1, 2, 66, 128], [1, 1, 66, 128]) },
        // Few queries, whose keys are split.
        length(Fill::Ints(0, 300), documents(Fill::Documents, case([3, 4, 2, 128], [3, 2, 300, 128]))),
    ]
}

/// A call as the definition reads it.
struct Reader<'a> {
    call: &'a OracleCall<'a>,
    /// Positions of `q` and of `documents`.
    first: usize,
    extra: usize,
    scale: f64,
}

impl<'a> Reader<'a> {
    fn new(call: &'a OracleCall<'a>, first: usize, extra: usize) -> Reader<'a> {
        let dim = call.shape(first)[3];
        let given = call.attrs.is_given("scale");
        let scale = if given { call.attrs.f64("scale") } else { 1.0 / (dim as f64).sqrt() };
        Reader { call, first, extra, scale }
    }

    /// The kv head that serves row `(b, h)` of `q`, as a row of `[batch · kv_heads]`.
    fn kv_head(&self, b: usize, h: usize) -> usize {
        let (heads, kv_heads) = (self.call.shape(self.first)[1], self.call.shape(self.first + 1)[1]);
        b * kv_heads + h / (heads / kv_heads)
    }

    /// All `(b, h, i)` with the row number of `q`.
    fn rows(&self) -> impl Iterator<Item = (usize, [usize; 3])> + use<> {
        let [heads, tokens] = [self.call.shape(self.first)[1], self.call.shape(self.first)[2]];
        let count = self.call.shape(self.first)[0] * heads * tokens;
        (0..count).map(move |row| (row, [row / (heads * tokens), row / tokens % heads, row % tokens]))
    }

    fn row(&self, input: usize, row: usize) -> &'a [f64] {
        let dim = self.call.shape(self.first)[3];
        &self.call.values(input)[row * dim..(row + 1) * dim]
    }

    /// Keys that query `i` of sequence `b` sees.
    fn seen(&self, b: usize, i: usize) -> Vec<usize> {
        let keys = self.call.shape(self.first + 1)[2] as i64;
        let length =
            if self.call.has(self.extra + 1) { self.call.values(self.extra + 1)[b] as i64 } else { keys };
        let position = length - self.call.shape(self.first)[2] as i64 + i as i64;
        let same_document = |j: i64| {
            if !self.call.has(self.extra) {
                return true;
            }
            let of = |at: i64| self.call.values(self.extra)[(b as i64 * keys + at) as usize];
            position >= 0 && of(j) == of(position)
        };
        let causal = self.call.attrs.bool("causal");
        let seen = (0..length).filter(|&j| !causal || j <= position).filter(|&j| same_document(j));
        seen.map(|j| j as usize).collect()
    }
}

/// `(Σ a·b, Σ |a·b|)`
fn dot(a: &[f64], b: &[f64]) -> (f64, f64) {
    let terms = a.iter().zip(b).map(|(a, b)| a * b);
    (terms.clone().sum(), terms.map(f64::abs).sum())
}

/// What a term's size grows by where its weight is rounded to half precision before the product, as tensor cores want it:
/// half a step of the dtype, in units of the tolerance.
fn rounded_weight(dtype: DType) -> f64 {
    match dtype {
        BF16 | F16 => dtype.epsilon() / 2.0 / (ATTENTION.tolerance * dtype.accumulator().epsilon()),
        _ => 0.0,
    }
}

/// An absolute error of a score is a relative one of its weight, hence the sizes of the scores in the magnitudes.
fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let reader = Reader::new(call, 0, 3);
    let (keys, rounded) = (call.shape(1)[2], rounded_weight(call.spec(0).dtype));
    let (mut y, mut y_size) = (vec![0.0; call.values(0).len()], vec![0.0; call.values(0).len()]);
    let (mut lse, mut lse_size) = (Vec::new(), Vec::new());
    for (row, [b, h, i]) in reader.rows() {
        let q = reader.row(0, row);
        let seen: Vec<usize> =
            reader.seen(b, i).into_iter().map(|j| reader.kv_head(b, h) * keys + j).collect();
        let scores: Vec<(f64, f64)> = seen.iter().map(|&j| dot(q, reader.row(1, j))).collect();
        let scores: Vec<_> =
            scores.iter().map(|(s, size)| (s * reader.scale, size * reader.scale.abs())).collect();
        let max = scores.iter().map(|(s, _)| *s).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|(s, _)| (s - max).exp()).sum();
        let weights: Vec<f64> = scores.iter().map(|(s, _)| (s - max).exp() / sum).collect();
        let mean_size: f64 = weights.iter().zip(&scores).map(|(p, (_, size))| p * size).sum();
        lse.push(if seen.is_empty() { f64::NEG_INFINITY } else { max + sum.ln() });
        lse_size.push(1.0 + mean_size + max.abs());
        for (&j, (p, (_, size))) in seen.iter().zip(weights.iter().zip(&scores)) {
            for (d, v) in reader.row(2, j).iter().enumerate() {
                y[row * q.len() + d] += p * v;
                y_size[row * q.len() + d] += (p * v).abs() * (1.0 + size + mean_size + rounded);
            }
        }
    }
    vec![
        OracleOutput { values: y, magnitudes: Some(y_size) },
        OracleOutput { values: lse, magnitudes: Some(lse_size) },
    ]
}

fn backward_oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let reader = Reader::new(call, 1, 6);
    let (keys, dim, scale) = (call.shape(2)[2], call.shape(1)[3], reader.scale);
    let rounded = rounded_weight(call.spec(1).dtype);
    let zeros = |input: usize| vec![(0.0, 0.0); call.values(input).len()];
    let (mut dq, mut dk, mut dv) = (zeros(1), zeros(2), zeros(3));
    let add = |to: &mut (f64, f64), value: f64, size: f64| *to = (to.0 + value, to.1 + size.abs());
    for (row, [b, h, i]) in reader.rows() {
        let (grad, q, lse) = (reader.row(0, row), reader.row(1, row), call.values(5)[row]);
        let (delta, delta_size) = dot(grad, reader.row(4, row));
        for j in reader.seen(b, i).into_iter().map(|j| reader.kv_head(b, h) * keys + j) {
            let (k, v) = (reader.row(2, j), reader.row(3, j));
            let (score, score_size) = dot(q, k);
            let p = (score * scale - lse).exp();
            let p_size = p * (1.0 + score_size * scale.abs() + lse.abs());
            let (dp, dp_size) = dot(grad, v);
            let ds = p * (dp - delta) * scale;
            let ds_size = p_size * (dp_size + delta_size) * scale.abs() + ds.abs() * rounded;
            let p_size = p_size + p * rounded;
            for d in 0..dim {
                add(&mut dq[row * dim + d], ds * k[d], ds_size * k[d]);
                add(&mut dk[j * dim + d], ds * q[d], ds_size * q[d]);
                add(&mut dv[j * dim + d], p * grad[d], p_size * grad[d]);
            }
        }
    }
    [dq, dk, dv]
        .into_iter()
        .map(|pairs| {
            let (values, sizes) = pairs.into_iter().unzip();
            OracleOutput { values, magnitudes: Some(sizes) }
        })
        .collect()
}
