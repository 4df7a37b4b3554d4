//! Schemas of the ops that write into a tensor.

use elm_core::{DType, Fill, Infer, OpDef, OpError, Shape, Specs, attr, input, mutable, sample};

use crate::indexing::{ANY_UPDATED, indexed_axis, split, wrap};
use crate::rules::{ANY_SAME, flatten, indices};

use DType::{BF16, Bool, F16, F32, F64, I8, I32, I64, U8, U32};

pub static OPS: &[&OpDef] = &[&ASSIGN, &ASSIGN_ROWS, &CACHE_WRITE];

const WRITES: OpDef = OpDef { outputs: &[], differentiable: false, ..OpDef::EMPTY };

static ASSIGN: OpDef = OpDef {
    name: "assign",
    doc: "Writes `value` over `target`.\n\n\
          The two may share memory: `value` is as it was before.\n\n\
          Shapes: `value` broadcasts to `target`. Dtypes: all, the same for both.",
    torch: "Tensor.copy_",
    numpy: "copyto",
    inputs: &[mutable("target"), input("value")],
    infer: |call| {
        let (target, value) = (call.shape(0), call.shape(1));
        match call.arg(1).layout.broadcast_to(target) {
            Some(_) => Ok(Specs::new()),
            None => Err(call.shape_error(format!("value must broadcast to {target:?}, got {value:?}"))),
        }
    },
    signatures: ANY_SAME,
    samples: || {
        vec![
            sample(&[&[], &[]]),
            sample(&[&[0, 3], &[3]]),
            sample(&[&[4, 5], &[4, 5]]),
            sample(&[&[3, 1, 7], &[7]]),
            sample(&[&[33, 65], &[33, 1]]),
            sample(&[&[130, 140], &[130, 140]]),
        ]
    },
    oracle: |call| {
        let (target, value) = (call.shape(0), call.shape(1));
        let lead = target.len() - value.len();
        let at = |index: Shape| {
            let from: Shape =
                (0..value.len()).map(|axis| if value[axis] == 1 { 0 } else { index[lead + axis] }).collect();
            call.values(1)[flatten(&from, value)]
        };
        vec![indices(target).map(at).collect::<Vec<_>>().into()]
    },
    internal: true,
    ..WRITES
};

static ASSIGN_ROWS: OpDef = OpDef {
    name: "assign_rows",
    doc: "Writes slices along `axis`: `target[…, indices[i…], …] = value[…, i…, …]`.\n\n\
          Of several slices for one place the last stays. Negative indices count from the end; one out of range is an \
          error and nothing is written. `target` and `value` may share memory.\n\n\
          Shapes: `value` is `target.shape[:axis] + indices.shape + target.shape[axis+1:]`. Dtypes: all, `indices` i32.",
    torch: "Tensor.index_copy_",
    inputs: &[mutable("target"), input("indices").index(), input("value")],
    attrs: &[attr::axis("axis", 0, "The axis of `target` that is indexed.")],
    infer: infer_rows,
    signatures: ANY_UPDATED,
    samples: || {
        let of = |target: &[usize], axis: usize, indices: &[usize]| {
            let mut value = target[..axis].to_vec();
            value.extend_from_slice(indices);
            value.extend_from_slice(&target[axis + 1..]);
            let size = target[axis] as i64;
            let indexed = sample(&[target]).and(indices, Fill::Ints(-size, size)).int("axis", axis as i64);
            indexed.and(&value, Fill::Uniform(-2.0, 2.0))
        };
        vec![
            of(&[5], 0, &[]),
            of(&[5, 3], 0, &[0]),
            of(&[7, 33], 0, &[3]),
            of(&[4, 6], 1, &[9]),
            of(&[4, 6], 1, &[5, 7]),
            of(&[50], 0, &[20_000]),
            of(&[2, 5, 4], 1, &[2, 3]),
            of(&[130, 70], 0, &[300]).int("axis", -2),
        ]
    },
    oracle: |call| {
        let axis = call.attrs.axis("axis", call.shape(0).len());
        let [outer, size, inner] = split(call.shape(0), axis);
        let (mut target, count) = (call.values(0).to_vec(), call.values(1).len());
        for row in 0..outer {
            for (i, &index) in call.values(1).iter().enumerate() {
                let (to, from) = ((row * size + wrap(index, size)) * inner, (row * count + i) * inner);
                target[to..to + inner].copy_from_slice(&call.values(2)[from..from + inner]);
            }
        }
        vec![target.into()]
    },
    internal: true,
    ..WRITES
};

fn infer_rows(call: &Infer) -> Result<Specs, OpError> {
    let target = call.shape(0);
    let axis = indexed_axis(call, target)?;
    let mut value = Shape::from_slice(&target[..axis]);
    value.extend_from_slice(call.shape(1));
    value.extend_from_slice(&target[axis + 1..]);
    call.require_shape(2, &value, "that of target with indices in place of the axis")?;
    Ok(Specs::new())
}

static CACHE_WRITE: OpDef = OpDef {
    name: "cache_write",
    doc: "Writes the keys or values of new tokens into a cache: \
          `cache[b, h, position[b] + t, d] = x[b, h, t, d]`.\n\n\
          A position below 0 or past what the capacity leaves is an error and nothing is written.\n\n\
          Shapes: `cache` is `[B, H, C, D]`, `x` is `[B, H, T, D]`, `position` is `[B]`. Dtypes: all, `position` i32.",
    inputs: &[mutable("cache"), input("x"), input("position").index()],
    infer: infer_cache,
    signatures: &[
        &[F64, F64, I32],
        &[F32, F32, I32],
        &[BF16, BF16, I32],
        &[F16, F16, I32],
        &[I64, I64, I32],
        &[I32, I32, I32],
        &[U32, U32, I32],
        &[I8, I8, I32],
        &[U8, U8, I32],
        &[Bool, Bool, I32],
    ],
    samples: || {
        let of = |[batch, heads, capacity, dim]: [usize; 4], tokens: usize| {
            let shapes: [&[usize]; 2] = [&[batch, heads, capacity, dim], &[batch, heads, tokens, dim]];
            sample(&shapes).and(&[batch], Fill::Ints(0, (capacity - tokens) as i64 + 1))
        };
        vec![
            of([1, 1, 1, 1], 1),
            of([2, 3, 9, 8], 1),
            of([3, 2, 7, 5], 4),
            of([2, 2, 6, 4], 6),
            of([2, 2, 6, 4], 0),
            of([0, 2, 6, 4], 1),
            of([2, 4, 70, 64], 33),
        ]
    },
    oracle: |call| {
        let [tokens, dim] = [call.shape(1)[2], call.shape(1)[3]];
        let [heads, capacity] = [call.shape(0)[1], call.shape(0)[2]];
        let mut cache = call.values(0).to_vec();
        for (row, x) in call.values(1).chunks((tokens * dim).max(1)).enumerate() {
            let start = (row * capacity + call.values(2)[row / heads] as usize) * dim;
            cache[start..start + x.len()].copy_from_slice(x);
        }
        vec![cache.into()]
    },
    ..WRITES
};

fn infer_cache(call: &Infer) -> Result<Specs, OpError> {
    call.require_rank(0, 4)?;
    call.require_rank(1, 4)?;
    let (cache, x) = (call.shape(0), call.shape(1));
    let [batch, heads, tokens, dim] = [cache[0], cache[1], x[2], cache[3]];
    call.require_shape(1, &[batch, heads, tokens, dim], "that of cache except along axis 2")?;
    if tokens > cache[2] {
        return Err(call.shape_error(format!(
            "x holds {tokens} tokens, but the capacity of cache (its axis 2) is {}",
            cache[2]
        )));
    }
    call.require_shape(2, &[batch], "the first axis of cache")?;
    Ok(Specs::new())
}
