//! An index out of range gives an error that names it, poisons what the call would have written, and nothing else.

mod common;

use common::{call, f32s, i32s, ints, numbers, one};
use elm_core::{Attr, ErrorCode};
use elm_engine::{Env, Handle};

/// One call with a place for bad indices: `(op, inputs but the indices, shape of the indices, attributes)`.
struct Case {
    op: &'static str,
    x: &'static [usize],
    indices: &'static [usize],
    updates: Option<&'static [usize]>,
    attrs: Vec<(&'static str, Attr)>,
    /// The axis of this size is indexed.
    size: i32,
}

fn cases() -> Vec<Case> {
    let axis = |axis: i64| vec![("axis", Attr::Int(axis))];
    let case = |op, x, indices, updates, attrs, size| Case { op, x, indices, updates, attrs, size };
    let backward = vec![("axis", Attr::Int(0)), ("size", Attr::Int(5))];
    vec![
        case("take", &[5, 3], &[2, 4], None, axis(0), 5),
        case("take", &[200, 5], &[200], None, axis(1), 5),
        case("take_backward", &[2, 4, 3], &[2, 4], None, backward, 5),
        case("take_along_axis", &[4, 5], &[4, 9], None, axis(1), 5),
        case("take_along_axis", &[5, 300], &[90, 300], None, axis(0), 5),
        case("scatter", &[4, 5], &[4, 9], Some(&[4, 9]), axis(1), 5),
        case("scatter_add", &[5, 4], &[9, 4], Some(&[9, 4]), axis(0), 5),
        case("assign_rows", &[4, 5, 2], &[3], Some(&[4, 3, 2]), axis(1), 5),
        case("assign_rows", &[5, 70], &[400], Some(&[400, 70]), axis(0), 5),
    ]
}

/// Inputs of a case whose index at `bad` is `value`, the others being 0.
fn inputs(env: &mut Env, case: &Case, bad: usize, value: i32) -> Vec<Handle> {
    let fill = |shape: &[usize]| (0..shape.iter().product()).map(|i: usize| i as f32).collect::<Vec<_>>();
    let mut indices = vec![0; case.indices.iter().product()];
    indices[bad] = value;
    let mut inputs = vec![f32s(env, case.x, &fill(case.x)), i32s(env, case.indices, &indices)];
    inputs.extend(case.updates.map(|shape| f32s(env, shape, &fill(shape))));
    inputs
}

/// Values that a storage holds, poisoned or not.
fn memory(env: &Env, handle: Handle) -> Vec<f32> {
    elm_engine::device(0).expect("the CPU is always there").synchronize();
    let view = env.get(handle).unwrap().view();
    // SAFETY: the tensor is row-major over a live storage, and the stream has nothing left to do.
    unsafe { std::slice::from_raw_parts(view.base.cast::<f32>(), view.elements()) }.to_vec()
}

#[test]
fn an_index_out_of_range_is_an_error_that_names_it() {
    let mut env = Env::default();
    for case in cases() {
        let last = case.indices.iter().product::<usize>() - 1;
        for (bad, value) in [(0, case.size), (last, -case.size - 1), (last, i32::MAX), (last, i32::MIN)] {
            let at = format!("{} {:?} [{bad}] = {value}", case.op, case.x);
            let inputs = inputs(&mut env, &case, bad, value);
            let outputs = call(&mut env, case.op, &inputs, &case.attrs).unwrap();
            let written = outputs.first().copied().unwrap_or(inputs[0]);
            let error = env.read(written, None).unwrap().wait().unwrap_err();
            assert_eq!((error.code, error.op), (ErrorCode::IndexOutOfRange, case.op), "{at}");
            let named = [format!("index {value} "), format!("size {}", case.size)];
            assert!(named.iter().all(|part| error.message.contains(part)), "{at}: {}", error.message);
            let refused = call(&mut env, "copy", &[written], &[]).unwrap_err();
            assert_eq!(refused.code, ErrorCode::IndexOutOfRange, "{at}: what reads the result fails too");
            assert_eq!(numbers(&env, inputs[1]).len(), last + 1, "{at}: the indices can still be read");
        }
    }
}

#[test]
fn a_bad_index_leaves_the_target_of_a_write_untouched() {
    let mut env = Env::default();
    for case in cases().iter().filter(|case| case.op == "assign_rows") {
        let last = case.indices.iter().product::<usize>() - 1;
        let inputs = inputs(&mut env, case, last, case.size);
        let before = memory(&env, inputs[0]);
        call(&mut env, case.op, &inputs, &case.attrs).unwrap();
        assert_eq!(memory(&env, inputs[0]), before);
    }
}

#[test]
fn the_ends_of_the_range_are_inside_it() {
    let mut env = Env::default();
    for case in cases() {
        for value in [-case.size, case.size - 1] {
            let inputs = inputs(&mut env, &case, 0, value);
            let outputs = call(&mut env, case.op, &inputs, &case.attrs).unwrap();
            numbers(&env, outputs.first().copied().unwrap_or(inputs[0]));
        }
    }
}

#[test]
fn a_cache_is_never_written_past_its_capacity() {
    let mut env = Env::default();
    for (position, fits) in [(0, true), (3, true), (4, false), (-1, false), (i32::MAX, false)] {
        let cache = f32s(&mut env, &[2, 1, 5, 1], &[-1.0; 10]);
        let x = f32s(&mut env, &[2, 1, 2, 1], &[1.0, 2.0, 3.0, 4.0]);
        let positions = i32s(&mut env, &[2], &[1, position]);
        call(&mut env, "cache_write", &[cache, x, positions], &[]).unwrap();
        let result = env.read(cache, None).unwrap().wait();
        assert_eq!(result.is_ok(), fits, "{position}");
        if let Err(error) = result {
            assert_eq!(error.code, ErrorCode::IndexOutOfRange);
            assert!(error.message.contains(&format!("position {position} of batch entry 1")), "{error}");
            assert_eq!(memory(&env, cache), [-1.0; 10], "nothing is written, not even entry 0");
        }
    }
}

#[test]
fn the_op_that_makes_keys_and_values_writes_none_past_the_capacity() {
    let mut env = Env::default();
    for (offset, fits) in [(0, true), (3, true), (4, false), (-1, false), (i32::MAX, false)] {
        // No token at all: offsets are looked at all the same.
        for (tokens, fits) in [(2, fits), (0, (0..=5).contains(&offset))] {
            let [keys, values] = [0, 1].map(|_| f32s(&mut env, &[2, 1, 5, 2], &[-1.0; 20]));
            let qkv = f32s(&mut env, &[2, tokens, 6], &vec![0.5; 12 * tokens]);
            let offsets = i32s(&mut env, &[2], &[1, offset]);
            let heads = [("query_heads", Attr::Int(1)), ("kv_heads", Attr::Int(1))];
            let weight = f32s(&mut env, &[2], &[1.0; 2]);
            let inputs = [qkv, keys, values, offsets, weight, weight];
            call(&mut env, "qk_norm_rope_cache", &inputs, &heads).unwrap();
            for cache in [keys, values] {
                let result = env.read(cache, None).unwrap().wait();
                assert_eq!(result.is_ok(), fits, "{offset} with {tokens}");
                if let Err(error) = result {
                    assert_eq!(error.code, ErrorCode::IndexOutOfRange);
                    let named = format!("position {offset} of batch entry 1 with {tokens} new tokens");
                    assert!(error.message.contains(&named), "{error}");
                    assert_eq!(memory(&env, cache), [-1.0; 20], "nothing is written, not even entry 0");
                }
            }
        }
    }
}

#[test]
fn the_last_of_several_writes_to_one_row_stays() {
    let mut env = Env::default();
    // Both sides of the size above which rows are written side by side.
    for (count, width) in [(6usize, 3usize), (900, 40)] {
        let target = f32s(&mut env, &[4, width], &vec![-1.0; 4 * width]);
        let ids: Vec<i32> = (0..count as i32).map(|i| [1, 3][i as usize % 2]).collect();
        let ids = i32s(&mut env, &[count], &ids);
        let rows: Vec<f32> = (0..count * width).map(|i| (i / width) as f32).collect();
        let rows = f32s(&mut env, &[count, width], &rows);
        call(&mut env, "assign_rows", &[target, ids, rows], &[]).unwrap();
        let heads: Vec<f64> = numbers(&env, target).chunks(width).map(|row| row[width - 1]).collect();
        assert_eq!(heads, [-1.0, count as f64 - 2.0, -1.0, count as f64 - 1.0]);
    }
}

#[test]
fn a_slice_past_the_end_is_refused_before_it_is_made() {
    let mut env = Env::default();
    let x = f32s(&mut env, &[3], &[1.0, 2.0, 3.0]);
    let slice = |start: i64, size: i64, step: i64| {
        [("starts", ints(&[start])), ("sizes", ints(&[size])), ("steps", ints(&[step]))]
    };
    for (start, size, step) in [(1, 3, 1), (2, 2, 1), (1, 3, -1), (-1, 1, 1), (0, 2, i64::MAX)] {
        let error = call(&mut env, "slice", &[x], &slice(start, size, step)).unwrap_err();
        assert_eq!(error.code, ErrorCode::IndexOutOfRange, "{start} {size} {step}");
    }
    let back = one(&mut env, "slice", &[x], &slice(2, 3, -1));
    let empty = one(&mut env, "slice", &[back], &slice(3, 0, -1));
    let again = one(&mut env, "slice", &[empty], &slice(900, 0, -1));
    assert_eq!(numbers(&env, back), [3.0, 2.0, 1.0]);
    assert_eq!(numbers(&env, again), Vec::<f64>::new());
    assert_eq!(env.get(again).unwrap().layout.offset, env.get(back).unwrap().layout.offset);
}
