//! Holds every kernel to the oracle of its op: op × sample × signature × layout, on every device.
//!
//! Runs without Node. `--op NAME` checks one op, `--json` ends with one JSON object.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use elm_conformance::{Report, Tuned, check_chains, check_op, check_tuned};
use elm_engine::Device;

const HELP: &str = "elm-conformance: checks every op against its f64 oracle

  --op NAME     only this op (may be repeated)
  --chains      only calls that follow each other in a recording; with --op these ops as well
  --tune        measures the products of the ops as they are checked, then checks them again by the table that was stored
                (in OPENELM_CACHE), which must give the same bits; default: the ops that have products
  --device NAME only this device (default: all)
  --levels      print the SIMD levels that OPENELM_CPU may name here, one a line, and check nothing
  --json        print the result as one JSON object on the last line
  --verbose     one line an op

  OPENELM_CPU=avx2 elm-conformance --op rms_norm --verbose
  OPENELM_CACHE=/tmp/tuned elm-conformance --device cuda --op matmul --tune";

/// Ops that multiply matrices of many rows.
const PRODUCTS: [&str; 3] = ["matmul", "linear_cross_entropy", "quantized_matmul"];

fn main() -> ExitCode {
    let mut args = pico_args::Arguments::from_env();
    if args.contains(["-h", "--help"]) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if args.contains("--levels") {
        elm_engine::simd_levels().iter().for_each(|level| println!("{level}"));
        return ExitCode::SUCCESS;
    }
    let names: Vec<String> = args.values_from_str("--op").unwrap_or_default();
    let device: Option<String> = args.opt_value_from_str("--device").unwrap_or_default();
    let (json, verbose) = (args.contains("--json"), args.contains("--verbose"));
    let unknown: Vec<_> = names.iter().filter(|name| elm_ops::find(name).is_none()).collect();
    let (chains, tune) = (args.contains("--chains"), args.contains("--tune"));
    let rest = args.finish();
    if !unknown.is_empty() || !rest.is_empty() {
        eprintln!("elm-conformance: no such op or option: {unknown:?} {rest:?}; see --help");
        return ExitCode::from(2);
    }
    match elm_engine::simd_level() {
        Ok(level) if !json => println!("at the level {level}"),
        Ok(_) => (),
        Err(message) => {
            eprintln!("elm-conformance: {message}");
            return ExitCode::from(2);
        }
    }
    let mut report = Report::default();
    for device in elm_engine::devices().filter(|d| device.as_ref().is_none_or(|name| *name == d.name)) {
        if tune {
            tuned(&mut report, device, &names, json);
            continue;
        }
        for (index, op) in elm_ops::OPS.iter().enumerate() {
            if (names.is_empty() && !chains) || names.iter().any(|name| name == op.name) {
                let (since, before) = (Instant::now(), report.checked);
                check_op(&mut report, device, index);
                if verbose {
                    println!(
                        "{:<32}{:>7} checks {:>8.1?}",
                        op.name,
                        report.checked - before,
                        since.elapsed()
                    );
                }
            }
        }
        if names.is_empty() || chains {
            check_chains(&mut report, device);
        }
    }
    report.failures.iter().take(50).for_each(|failure| eprintln!("FAILED {failure}"));
    println!("{} checks over {} ops, {} failed", report.checked, report.ops, report.failures.len());
    if json {
        println!("{}", report.json());
    }
    if report.failures.is_empty() && report.checked > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Checks ops with products in tuning mode, and says what it gave.
fn tuned(report: &mut Report, device: &Arc<Device>, names: &[String], json: bool) {
    let is_named = |name: &str| match names {
        [] => PRODUCTS.contains(&name),
        _ => names.iter().any(|given| given == name),
    };
    let ops: Vec<usize> =
        (0..elm_ops::OPS.len()).filter(|&index| is_named(elm_ops::OPS[index].name)).collect();
    let Tuned { report: tuning, by_table, fingerprint } = match check_tuned(report, device, &ops) {
        Ok(tuned) => tuned,
        Err(message) => return eprintln!("elm-conformance: {message}"),
    };
    if json {
        return;
    }
    for product in tuning.products.iter().filter(|product| product.measured) {
        let [first, best] = [product.first, product.best].map(Option::unwrap_or_default);
        let count = product.candidates.unwrap_or_default();
        println!("{first:>9.2} µs → {best:>9.2} µs of {count:>2}  {}", product.key);
    }
    let measured = tuning.products.iter().filter(|product| product.measured).count();
    let file = tuning.table.file.as_deref().map_or("no file".into(), |file| file.display().to_string());
    println!(
        "{}: {} products, {measured} measured, {by_table} by the table",
        device.name,
        tuning.products.len()
    );
    println!("table {} of {} products in {file}", tuning.table.hash, tuning.table.products);
    if let Some(problem) = &tuning.table.problem {
        println!("a table was not taken: {problem}");
    }
    println!("bits {fingerprint:016x}");
}
