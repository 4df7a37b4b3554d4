//! The op that makes keys and values where they stay gives the bits of the ops that it stands for.

mod common;

use common::{bytes, call};
use elm_core::{Attr, DType, ErrorCode, Layout, OpError, bf16};
use elm_engine::{Env, Handle, Tensor};

/// Batch, tokens, query heads, kv heads, size of a head, capacity.
type Sizes = [usize; 6];

/// Different numbers between −2 and 2.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| (((i + 1) * (2 * seed + 7919)) % 4001) as f32 / 1000.25 - 2.0).collect()
}

fn place(env: &mut Env, device: u32, dtype: DType, shape: &[usize], seed: usize) -> Handle {
    let values = numbers(shape.iter().product(), seed);
    let bytes: Vec<u8> = match dtype {
        DType::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    };
    env.write(device, dtype, shape, &bytes).unwrap()
}

fn heads(query: usize, kv: usize) -> [(&'static str, Attr); 2] {
    [("query_heads", Attr::Int(query as i64)), ("kv_heads", Attr::Int(kv as i64))]
}

#[test]
fn queries_and_caches_have_the_bits_of_the_three_calls() {
    let cases: [Sizes; 4] =
        [[1, 1, 12, 3, 64, 70], [2, 5, 4, 2, 18, 9], [1, 70, 4, 1, 64, 80], [2, 1, 2, 1, 260, 3]];
    for device in elm_engine::devices() {
        for ([batch, tokens, query, kv, dim, capacity], dtype) in
            cases.into_iter().flat_map(|sizes| [(sizes, DType::F32), (sizes, DType::BF16)])
        {
            let mut env = Env::default();
            let mut input = |shape: &[usize], seed| place(&mut env, device.id, dtype, shape, seed);
            let qkv = input(&[batch, tokens, (query + 2 * kv) * dim], 1);
            let weights = [2, 3].map(|seed| input(&[dim], seed));
            let caches = [4, 5, 4, 5].map(|seed| input(&[batch, kv, capacity, dim], seed));
            let starts: Vec<u8> =
                (0..batch).flat_map(|b| ((capacity - tokens - b) as i32).to_le_bytes()).collect();
            let offset = env.write(device.id, DType::I32, &[batch], &starts).unwrap();
            let heads = heads(query, kv);

            let parts =
                call(&mut env, "qk_norm_rope", &[qkv, weights[0], weights[1], offset], &heads).unwrap();
            call(&mut env, "cache_write", &[caches[0], parts[1], offset], &[]).unwrap();
            call(&mut env, "cache_write", &[caches[1], parts[2], offset], &[]).unwrap();
            let inputs = [qkv, caches[2], caches[3], offset, weights[0], weights[1]];
            let q = call(&mut env, "qk_norm_rope_cache", &inputs, &heads).unwrap()[0];

            for (name, one, other) in
                [("q", parts[0], q), ("keys", caches[0], caches[2]), ("values", caches[1], caches[3])]
            {
                let same = bytes(&env, one) == bytes(&env, other);
                assert!(same, "{name} of {dim} {dtype} x {tokens} on {}", device.name);
            }
        }
    }
}

#[test]
fn what_is_read_may_lie_in_the_cache() {
    for device in elm_engine::devices() {
        let mut env = Env::default();
        let memory = place(&mut env, device.id, DType::F32, &[48], 1);
        let view = |env: &mut Env, from: Handle, shape: &[usize], start| {
            let layout = Layout { offset: start, ..Layout::contiguous(shape) };
            let tensor = Tensor { layout, ..env.get(from).unwrap().clone() };
            env.insert(tensor, "view")
        };
        let offset = env.write(device.id, DType::I32, &[1], &1i32.to_le_bytes()).unwrap();
        let run = |env: &mut Env, from: [Handle; 4], at: [usize; 4]| {
            let qkv = view(env, from[0], &[1, 2, 12], at[0]);
            let [keys, values] = [1, 2].map(|i| view(env, from[i], &[1, 1, 4, 4], at[i]));
            let weight = view(env, from[3], &[4], at[3]);
            let inputs = [qkv, keys, values, offset, weight, weight];
            let q = call(env, "qk_norm_rope_cache", &inputs, &heads(1, 1)).unwrap()[0];
            [q, keys, values].map(|handle| bytes(env, handle))
        };
        // Tokens and weights in memory of their own, then in that of the caches.
        let apart = [0; 4].map(|_| place(&mut env, device.id, DType::F32, &[48], 1));
        let apart = run(&mut env, apart, [8, 0, 16, 20]);
        let shared = run(&mut env, [memory; 4], [8, 0, 16, 20]);
        assert_eq!(apart, shared, "on {}", device.name);
    }
}

#[test]
fn caches_of_other_sizes_are_refused() {
    let mut env = Env::default();
    let mut refused = |qkv: &[usize], keys: &[usize], values: &[usize], offset: usize| -> OpError {
        let [qkv, keys, values] = [qkv, keys, values].map(|shape| place(&mut env, 0, DType::F32, shape, 1));
        let offset = env.write(0, DType::I32, &[offset], &vec![0; 4 * offset]).unwrap();
        let weight = place(&mut env, 0, DType::F32, &[4], 2);
        let inputs = [qkv, keys, values, offset, weight, weight];
        call(&mut env, "qk_norm_rope_cache", &inputs, &heads(2, 1)).unwrap_err()
    };
    let (qkv, cache) = ([1, 2, 16], [1, 1, 5, 4]);
    for (keys, values, offset) in [
        ([1, 2, 5, 4], cache, 1),
        ([2, 1, 5, 4], cache, 1),
        ([1, 1, 5, 2], cache, 1),
        (cache, [1, 1, 6, 4], 1),
        (cache, cache, 2),
    ] {
        assert_eq!(
            refused(&qkv, &keys, &values, offset).code,
            ErrorCode::ShapeMismatch,
            "{keys:?} {values:?}"
        );
    }
    let error = refused(&[1, 6, 16], &cache, &cache, 1);
    assert!(error.message.contains("6 tokens") && error.message.contains("is 5"), "{error}");
}
