use elm_core::{
    DType, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Sample, Specs, input, mutable, optional,
    public, sample,
};
use smallvec::smallvec;

use super::qk_norm_rope::{ATTRS, Case, Heads, keys, queries, values};
use super::rope::require_offset;

pub static OPS: &[&OpDef] = &[&QK_NORM_ROPE_CACHE];

use DType::{BF16, F16, F32, F64, I32};

static QK_NORM_ROPE_CACHE: OpDef = OpDef {
    name: "qk_norm_rope_cache",
    doc: "What `qkNormRope` does, with the keys and values of the new tokens written into a cache as `cacheWrite` \
          does: `keys[b, h, offset[b] + t] = k[b, h, t]`, `values[b, h, offset[b] + t] = v[b, h, t]`.\n\n\
          All bits are those of the three calls. An offset below 0 or past what the capacity leaves is an error and \
          nothing is written to the cache. `keys` and `values` have no element in common.\n\n\
          Shapes: `qkv` is `[batch, tokens, (query_heads + 2·kv_heads)·dim]`, `keys` and `values` are \
          `[batch, kv_heads, capacity, dim]`, `offset` is `[batch]`, weights are `[dim]`; `q` is \
          `[batch, query_heads, tokens, dim]`.\n\
          Dtypes: floats; half precision also takes f32 weights; `offset` is i32.\n\n\
          Mehta et al., 2024, https://arxiv.org/abs/2404.14619",
    inputs: &[
        input("qkv"),
        mutable("keys"),
        mutable("values"),
        input("offset").index(),
        optional("q_weight"),
        optional("k_weight"),
    ],
    attrs: ATTRS,
    outputs: &[public("q")],
    infer,
    signatures: &[
        &[F64, F64, F64, I32, F64, F64],
        &[F32, F32, F32, I32, F32, F32],
        &[BF16, BF16, BF16, I32, BF16, BF16],
        &[F16, F16, F16, I32, F16, F16],
        &[BF16, BF16, BF16, I32, F32, F32],
        &[F16, F16, F16, I32, F32, F32],
    ],
    samples,
    oracle,
    tolerance: 8.0,
    differentiable: false,
    ..OpDef::EMPTY
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    let heads = Heads::infer(call, 0)?;
    heads.require_weights(call, [4, 5])?;
    require_offset(call, 3, heads.batch)?;
    call.require_rank(1, 4)?;
    let capacity = call.shape(1)[2];
    let cache = [heads.batch, heads.kv, capacity, heads.dim];
    call.require_shape(1, &cache, "what qkv and the numbers of heads make of its axes but axis 2")?;
    call.require_shape(2, &cache, "that of keys")?;
    if heads.tokens > capacity {
        return Err(call.shape_error(format!(
            "qkv holds {} tokens, but the capacity of keys and values (their axis 2) is {capacity}",
            heads.tokens
        )));
    }
    let [q, _] = heads.specs(call.dtype(0));
    Ok(smallvec![q])
}

/// Every presence of the weights; one token and several; a cache that gets full; heads in packs of every dtype and not;
/// more components than angles that one launch takes.
fn samples() -> Vec<Sample> {
    let case = |sizes, weights, capacity: usize| {
        let case = Case { sizes, weights, offset: true };
        let [batch, tokens, _, kv, dim] = sizes;
        let cache: [usize; 4] = [batch, kv, capacity, dim];
        let start = sample(&[&case.qkv_shape(), &cache, &cache]);
        let start = start.and(&[batch], Fill::Ints(0, (capacity - tokens) as i64 + 1));
        let [_, _, query, kv, _] = sizes.map(|size| size as i64);
        case.weights(start).int("query_heads", query).int("kv_heads", kv)
    };
    vec![
        case([1, 1, 1, 1, 2], [true, true], 1),
        case([2, 5, 3, 1, 8], [true, true], 9),
        case([2, 3, 4, 2, 18], [false, false], 3),
        case([1, 4, 2, 2, 16], [true, false], 50),
        case([1, 1, 12, 3, 64], [false, true], 70),
        case([0, 4, 2, 1, 8], [true, true], 9),
        case([2, 0, 2, 1, 8], [true, true], 9),
        case([3, 1, 16, 4, 128], [true, true], 130),
        case([1, 33, 20, 5, 64], [true, true], 64),
        case([2, 2, 2, 1, 260], [true, true], 7),
    ]
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let heads = Heads::of(call, 0);
    let (q, _) = queries(call, heads, [4, 3]);
    let (k, _) = keys(call, heads, [5, 3]);
    vec![q, written(call, heads, 1, k), written(call, heads, 2, values(call, heads).into())]
}

/// The cache that is input `cache`, with the new rows in their places.
fn written(call: &OracleCall, heads: Heads, cache: usize, new: OracleOutput) -> OracleOutput {
    let mut all = call.values(cache).to_vec();
    // What stays has its very bits; so have values, which are moved.
    let mut size = vec![0.0; all.len()];
    let (capacity, dim) = (call.shape(cache)[2], heads.dim);
    for (row, x) in new.values.chunks_exact(dim).enumerate() {
        let (head, t) = (row / heads.tokens, row % heads.tokens);
        let start = call.values(3)[head / heads.kv] as usize + t;
        let to = (head * capacity + start) * dim;
        all[to..to + dim].copy_from_slice(x);
        if let Some(magnitudes) = &new.magnitudes {
            size[to..to + dim].copy_from_slice(&magnitudes[row * dim..(row + 1) * dim]);
        }
    }
    OracleOutput { values: all, magnitudes: Some(size) }
}
