//! Sequences of Python's own generator, and the file lists that follow from them.

use std::path::Path;

use elm_data::{PythonRandom, worker_files};
use serde_json::Value;

fn order() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../packages/testing/goldens/order.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
}

/// `float.hex` of Python for numbers in [0, 1): 0x1.MMMMMMMMMMMMMp-E.
fn float(hex: &str) -> f64 {
    let (mantissa, exponent) = hex.strip_prefix("0x1.").unwrap().split_once("p-").unwrap();
    let mantissa = u64::from_str_radix(mantissa, 16).unwrap();
    (1.0 + mantissa as f64 / 2_f64.powi(52)) / 2_f64.powi(exponent.parse().unwrap())
}

#[test]
fn all_draws_equal_python() {
    for case in order()["seeds"].as_array().unwrap() {
        let seed = case["seed"].as_u64().unwrap();
        let new = || PythonRandom::new(seed);
        let mut random = new();
        for bits in numbers(&case["getrandbits32"]) {
            assert_eq!(random.bits(32), bits);
        }
        let mut random = new();
        for hex in case["random_hex"].as_array().unwrap() {
            assert_eq!(random.random(), float(hex.as_str().unwrap()));
        }
        for (n, expected) in case["shuffle"].as_object().unwrap() {
            let mut items: Vec<u64> = (0..n.parse().unwrap()).collect();
            new().shuffle(&mut items);
            assert_eq!(items, numbers(expected), "shuffle of {n}");
        }
        let picked = new().choices(97, 20).into_iter().map(|i| i as u64);
        assert!(picked.eq(numbers(&case["choices_97_k20"])));
        for (n, counts, key) in [
            (200, &[5, 6, 25, 26, 11, 10][..], "sample_from_200"),
            (30, &[5, 6, 25, 26], "sample_from_30_small_population"),
        ] {
            let mut random = new();
            for (count, expected) in counts.iter().zip(case[key].as_array().unwrap()) {
                let picked: Vec<u64> = random.sample(n, *count).into_iter().map(|i| i as u64).collect();
                assert_eq!(picked, numbers(expected), "{key} {count}");
            }
        }
        let mut random = new();
        let limits = [1, 2, 3, 7, 100, 1 << 31, 1 << 32, (1 << 40) + 1];
        for (n, expected) in limits.iter().zip(numbers(&case["randrange"])) {
            assert_eq!(random.below(*n), expected, "randrange({n})");
        }
    }
}

#[test]
fn every_worker_reads_corenets_files() {
    for case in order()["workers"].as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap();
        let (files, world) = (number("files") as usize, number("world") as usize);
        for (worker, epochs) in case["epochs_of_worker"].as_object().unwrap() {
            let (mut own, mut random) =
                worker_files(files, world, worker.parse().unwrap(), true, number("seed"));
            for (e, expected) in epochs.as_array().unwrap().iter().enumerate() {
                if e > 0 {
                    random.shuffle(&mut own);
                }
                let found: Vec<u64> = own.iter().map(|&i| i as u64).collect();
                assert_eq!(found, numbers(expected), "{files} files, worker {worker} of {world}, epoch {e}");
            }
        }
    }
}
