//! Random tensors have the moments of their distributions and depend on seed and counter alone.

mod common;

use common::{bytes, call, f32s, ints, numbers, one};
use elm_core::{Attr, DType, ErrorCode};
use elm_engine::Env;

const N: usize = 200_000;

fn key(counter: i64) -> [(&'static str, Attr); 2] {
    [("seed", Attr::Int(20_260_824)), ("counter", Attr::Int(counter))]
}

/// Values of a call that makes `N` elements.
fn draw(name: &str, given: &[(&'static str, Attr)]) -> Vec<f64> {
    let mut env = Env::default();
    let mut attrs = vec![("shape", ints(&[N as i64]))];
    attrs.extend_from_slice(given);
    attrs.extend(key(0));
    let made = one(&mut env, name, &[], &attrs);
    numbers(&env, made)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn moment(values: &[f64], order: i32) -> f64 {
    let mean = mean(values);
    values.iter().map(|v| (v - mean).powi(order)).sum::<f64>() / values.len() as f64
}

/// Five standard errors of a mean of `N` values with this variance.
fn allowed(variance: f64) -> f64 {
    5.0 * (variance / N as f64).sqrt()
}

#[test]
fn uniform_numbers_fill_their_range_evenly() {
    for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
        let given = [("low", Attr::F64(-1.0)), ("high", Attr::F64(3.0)), ("dtype", Attr::DType(dtype))];
        let values = draw("uniform", &given);
        assert!(values.iter().all(|v| (-1.0..3.0).contains(v)), "{dtype}: high is never reached");
        let slack = 4.0 * dtype.epsilon();
        assert!((mean(&values) - 1.0).abs() < allowed(16.0 / 12.0) + slack, "{dtype}");
        assert!((moment(&values, 2) - 16.0 / 12.0).abs() < 0.02, "{dtype}");
        let mut counts = [0usize; 16];
        values.iter().for_each(|v| counts[((v + 1.0) * 4.0) as usize] += 1);
        let expected = N as f64 / 16.0;
        let chi: f64 = counts.iter().map(|&c| (c as f64 - expected).powi(2) / expected).sum();
        // In bf16 the numbers of [-1, 1) lie closer than those of [1, 3), which shifts what lies at the borders.
        assert!(dtype.size() == 2 || chi < 45.0, "{dtype}: χ² of 15 degrees of freedom is {chi}");
    }
}

#[test]
fn a_uniform_number_never_rounds_to_the_end_of_its_range() {
    for (low, high) in [(1.0, 1.01), (-2.0, 0.0), (0.0, 1.0), (-1.0, -0.5), (255.0, 256.0)] {
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let given = [("low", Attr::F64(low)), ("high", Attr::F64(high)), ("dtype", Attr::DType(dtype))];
            let values = draw("uniform", &given);
            assert!(values.iter().all(|&v| v >= low && v < high), "{dtype} [{low}, {high})");
        }
    }
}

#[test]
fn normal_numbers_have_the_moments_of_the_normal_distribution() {
    for dtype in [DType::F64, DType::F32, DType::BF16] {
        let values = draw(
            "normal",
            &[("mean", Attr::F64(2.0)), ("std", Attr::F64(0.5)), ("dtype", Attr::DType(dtype))],
        );
        let z: Vec<f64> = values.iter().map(|v| (v - 2.0) / 0.5).collect();
        assert!(mean(&z).abs() < allowed(1.0) + 4.0 * dtype.epsilon(), "{dtype} mean {}", mean(&z));
        assert!((moment(&z, 2) - 1.0).abs() < allowed(2.0) + dtype.epsilon(), "{dtype} variance");
        assert!(moment(&z, 3).abs() < allowed(15.0) + dtype.epsilon(), "{dtype} skewness");
        assert!((moment(&z, 4) - 3.0).abs() < allowed(96.0) + 0.02, "{dtype} kurtosis");
        let beyond = z.iter().filter(|z| z.abs() > 2.0).count() as f64 / N as f64;
        assert!(
            (beyond - 0.0455).abs() < allowed(0.0455) + dtype.epsilon(),
            "{dtype}: {beyond} lie beyond 2"
        );
        let pairs: f64 = z.chunks_exact(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / (N / 2) as f64;
        assert!(pairs.abs() < 2.0 * allowed(1.0), "{dtype}: the halves of a pair correlate by {pairs}");
    }
}

#[test]
fn truncated_numbers_stay_inside_and_have_the_right_moments() {
    let values = draw("truncated_normal", &[("mean", Attr::F64(1.0)), ("std", Attr::F64(0.5))]);
    assert!(values.iter().all(|v| (0.0..=2.0).contains(v)));
    // The variance of the unit normal between -2 and 2 is 1 − 4φ(2) / (2Φ(2) − 1).
    let variance = 0.25 * 0.773_741;
    assert!((mean(&values) - 1.0).abs() < allowed(variance));
    assert!((moment(&values, 2) - variance).abs() < 0.003);
    let tail = draw("truncated_normal", &[("low", Attr::F64(3.0)), ("high", Attr::F64(f64::INFINITY))]);
    assert!(tail.iter().all(|v| *v >= 3.0));
    // φ(3) / (1 − Φ(3)).
    assert!((mean(&tail) - 3.283_099).abs() < allowed(0.08), "{}", mean(&tail));
}

#[test]
fn coins_and_dice_are_fair() {
    for p in [0.0, 0.25, 1.0] {
        let heads = mean(&draw("bernoulli", &[("p", Attr::F64(p))]));
        assert!((heads - p).abs() <= allowed(p * (1.0 - p)), "{p}: {heads}");
    }
    let dice = draw("randint", &[("low", Attr::Int(-2)), ("high", Attr::Int(4))]);
    for face in -2..4 {
        let share = dice.iter().filter(|&&v| v == f64::from(face)).count() as f64 / N as f64;
        assert!((share - 1.0 / 6.0).abs() < allowed(5.0 / 36.0), "{face}: {share}");
    }
}

#[test]
fn a_permutation_holds_every_number_once() {
    let mut env = Env::default();
    let mut at_front = 0.0;
    for counter in 0..200 {
        let mut attrs = vec![("n", Attr::Int(1000))];
        attrs.extend(key(counter * 250));
        let made = one(&mut env, "permutation", &[], &attrs);
        let order = numbers(&env, made);
        at_front += order[0] / 200.0;
        let mut sorted = order.clone();
        sorted.sort_by(f64::total_cmp);
        assert_eq!(sorted, (0..1000).map(f64::from).collect::<Vec<_>>());
        assert_ne!(order, sorted);
    }
    // The mean of 200 uniform numbers of [0, 999], give or take five standard errors.
    assert!((at_front - 499.5).abs() < 5.0 * 288.7 / 200f64.sqrt(), "{at_front}");
}

#[test]
fn draws_come_as_often_as_their_probabilities_say() {
    let mut env = Env::default();
    let weights = [1.0, 0.0, 3.0, 4.0];
    let p = f32s(&mut env, &[4], &weights);
    let mut attrs = vec![("count", Attr::Int(N as i64)), ("replacement", Attr::Bool(true))];
    attrs.extend(key(0));
    let drawn = one(&mut env, "multinomial", &[p], &attrs);
    let rows = f32s(&mut env, &[N / 4, 4], &weights.repeat(N / 4));
    let mut attrs = vec![("count", Attr::Int(2))];
    attrs.extend(key(0));
    let pairs = one(&mut env, "multinomial", &[rows], &attrs);
    let (drawn, pairs) = (numbers(&env, drawn), numbers(&env, pairs));
    let firsts: Vec<f64> = pairs.iter().step_by(2).copied().collect();
    for (position, weight) in weights.iter().enumerate() {
        let p = f64::from(*weight) / 8.0;
        for draws in [&drawn, &firsts] {
            let share = draws.iter().filter(|&&v| v == position as f64).count() as f64 / draws.len() as f64;
            assert!((share - p).abs() <= 2.0 * allowed(p * (1.0 - p)), "{position}: {share}");
        }
    }
    assert!(pairs.chunks(2).all(|pair| pair[0] != pair[1]), "without replacement nothing comes twice");
    // After 0 (1/8), 2 comes with 3/7; and so on: P(second = 2) = 1/8 · 3/7 + 4/8 · 3/4.
    let share = pairs.iter().skip(1).step_by(2).filter(|&&v| v == 2.0).count() as f64 / (N / 4) as f64;
    assert!((share - (3.0 / 56.0 + 3.0 / 8.0)).abs() < 2.0 * allowed(0.25), "{share}");
}

#[test]
fn rows_that_cannot_be_drawn_from_are_errors() {
    let mut env = Env::default();
    for (bad, replacement) in [
        ([0.0, 1.0, 0.0], false),
        ([f32::NAN, 1.0, 1.0], false),
        ([-1.0, 1.0, 1.0], true),
        ([f32::INFINITY, 1.0, 1.0], true),
        ([0.0, 0.0, 0.0], true),
    ] {
        let p = f32s(&mut env, &[2, 3], &[[1.0; 3], bad].concat());
        let mut attrs = vec![("count", Attr::Int(2)), ("replacement", Attr::Bool(replacement))];
        attrs.extend(key(0));
        let drawn = one(&mut env, "multinomial", &[p], &attrs);
        let error = env.read(drawn, None).unwrap().wait().unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.contains("row 1"), "{error}");
    }
    let p = f32s(&mut env, &[3], &[1.0; 3]);
    let mut attrs = vec![("count", Attr::Int(4))];
    attrs.extend(key(0));
    assert!(call(&mut env, "multinomial", &[p], &attrs).unwrap_err().message.contains("without replacement"));
}

#[test]
fn dropout_drops_its_share_and_its_gradient_draws_the_same_mask() {
    let mut env = Env::default();
    let x = f32s(&mut env, &[400, 500], &vec![1.0; N]);
    let mut attrs = vec![("p", Attr::F64(0.2))];
    attrs.extend(key(7));
    let y = one(&mut env, "dropout", &[x], &attrs);
    let dx = one(&mut env, "dropout_backward", &[x], &attrs);
    let values = numbers(&env, y);
    assert!(values.iter().all(|&v| v == 0.0 || v == 1.25));
    assert!((mean(&values) - 1.0).abs() < allowed(0.25));
    assert_eq!(bytes(&env, y), bytes(&env, dx));
}

#[test]
fn layout_and_threads_do_not_change_the_bits() {
    let mut env = Env::default();
    let device = elm_engine::device(0).expect("the CPU is always there");
    let threads = device.threads();
    let values: Vec<f32> = (0..N).map(|i| (i % 251) as f32 - 100.0).collect();
    let x = f32s(&mut env, &[400, 500], &values);
    let columns: Vec<f32> = (0..N).map(|i| values[(i % 400) * 500 + i / 400]).collect();
    let columns = f32s(&mut env, &[500, 400], &columns);
    let same = one(&mut env, "permute", &[columns], &[("axes", ints(&[1, 0]))]);
    let shape = ("shape", ints(&[400, 500]));
    let mut seen: Vec<Vec<Vec<u8>>> = Vec::new();
    for count in [1, 2, 5] {
        device.set_threads(count);
        let mut run = Vec::new();
        for op in ["uniform", "normal", "truncated_normal", "bernoulli"] {
            let mut attrs = vec![shape.clone()];
            attrs.extend(key(3));
            let made = one(&mut env, op, &[], &attrs);
            run.push(bytes(&env, made));
        }
        for input in [x, same] {
            let y = one(&mut env, "dropout", &[input], &key(3));
            run.push(bytes(&env, y));
        }
        assert_eq!(run[4], run[5], "dropout looks at positions, not at memory");
        seen.push(run);
    }
    device.set_threads(threads);
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_call_continues_where_the_last_one_stopped() {
    let mut env = Env::default();
    let mut made = |count: i64, counter: i64| {
        let mut attrs = vec![("shape", ints(&[count]))];
        attrs.extend(key(counter));
        let made = one(&mut env, "normal", &[], &attrs);
        numbers(&env, made)
    };
    let whole = made(1000, 5);
    assert_eq!([made(400, 5), made(600, 105)].concat(), whole);
}
