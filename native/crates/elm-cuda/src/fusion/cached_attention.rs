//! The heads of a new token, their key and value in the cache, and their attention to all that is there.

use elm_core::{KernelCall, View};

use super::{Fusion, are_apart, is_the_same};
use crate::angles::Frequencies;
use crate::function::Param;
use crate::ops::{Caches, InClusters, simple_heads, weight_dtype};
use crate::view::{CallExt, Run, address, optional};

pub const FUSION: Fusion = Fusion { ops: &["qk_norm_rope_cache", "attention"], takes, run };

fn is_same_cache(written: &View, read: &View) -> bool {
    address(written) == address(read)
        && written.shape() == read.shape()
        && written.layout.strides == read.layout.strides
}

fn takes(calls: &[KernelCall]) -> bool {
    let (heads, attention) = (&calls[0], &calls[1]);
    let (qkv, keys, values) = (heads.input(0), heads.input(1), heads.input(2));
    let (q, y) = (heads.output(0), attention.output(0));
    let is_one_token = qkv.shape()[1] == 1;
    let is_chain = is_the_same(q, attention.input(0))
        && q.shape() == attention.input(0).shape()
        && is_same_cache(keys, attention.input(1))
        && is_same_cache(values, attention.input(2));
    // Components of each half that a thread has are a pack.
    let fits = simple_heads(heads).is_some_and(|heads| heads.lanes as usize == heads.dim() / 16);
    let weights = [4, 5].map(|position| heads.optional_input(position));
    let in_packs = weights.into_iter().flatten().all(|view| (address(view) as usize).is_multiple_of(16));
    let read: Vec<&View> =
        [0, 3, 4, 5].into_iter().filter_map(|position| heads.optional_input(position)).collect();
    let lengths = attention.optional_input(4);
    let reads: Vec<&View> = read.into_iter().chain(lengths).collect();
    let mut writes = vec![q, y, keys, values];
    writes.extend(attention.optional_output(1));
    is_one_token && is_chain && fits && in_packs && InClusters::takes(attention) && are_apart(&writes, &reads)
}

fn run(calls: &[KernelCall]) -> Run {
    let (projected, attention) = (&calls[0], &calls[1]);
    let (gpu, qkv) = (projected.gpu(), projected.input(0));
    let [q_weight, k_weight] = [4, 5].map(|position| projected.optional_input(position));
    let heads = simple_heads(projected).expect("the calls were taken");
    let caches = Caches::of(projected, projected.input(3))?;
    let InClusters { arguments, grid } = InClusters::of(attention)?;
    let args: [&dyn Param; 11] = [
        &address(attention.output(0)),
        &optional(attention.optional_output(1)),
        &address(projected.output(0)),
        &caches,
        &address(qkv),
        &optional(q_weight),
        &optional(k_weight),
        &heads,
        &Frequencies::from(0, heads.dim(), projected.attrs.f64("base")),
        &projected.attrs.f64("eps"),
        &arguments,
    ];
    let name = if heads.dim() == 64 { "cached_attention_64" } else { "cached_attention_128" };
    let dtypes = [qkv.dtype, weight_dtype(qkv, [q_weight, k_weight])];
    gpu.launch("cached_attention", name, &dtypes, grid, &args)
}
