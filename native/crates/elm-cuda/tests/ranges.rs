//! Ranges reach a profiler that is attached, where they are asked for, and bother nobody else.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

use elm_cuda::{range, shows_ranges};

const CHILD: &str = "OPENELM_TEST_SUBMITS";

/// What a process submits, with ranges around it.
fn submit() {
    range(Some("layers.0"));
    range(Some("matmul"));
    range(None);
    range(None);
    // One too many is no error.
    range(None);
}

/// The ranges that a profiler saw of a process that submits, and whether that said that it shows any.
fn seen(asks: bool, profiler: Option<&Path>, folder: &Path) -> String {
    let log = folder.join("ranges.txt");
    let _ = std::fs::remove_file(&log);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_profiler_sees_the_ranges_that_are_asked_for"]).env(CHILD, asks.to_string());
    child.env_remove("NVTX_INJECTION64_PATH").env("OPENELM_TEST_RANGES", &log);
    child.env("OPENELM_NVTX", if asks { "1" } else { "0" });
    if let Some(profiler) = profiler {
        child.env("NVTX_INJECTION64_PATH", profiler);
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    std::fs::read_to_string(log).unwrap_or_default()
}

#[test]
fn a_profiler_sees_the_ranges_that_are_asked_for() {
    let includes = option_env!("OPENELM_NVTX_INCLUDE");
    if let Ok(asks) = std::env::var(CHILD) {
        assert_eq!(shows_ranges(), asks == "true" && includes.is_some());
        return submit();
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(seen(true, None, folder.path()), "", "nobody is attached");
    assert_eq!(seen(true, Some(Path::new("/nowhere.so")), folder.path()), "", "nobody can be attached");
    // A build without NVIDIA's header has no ranges to see.
    let Some(includes) = includes else { return };
    let profiler = folder.path().join("profiler.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-isystem", includes, "-o"])
        .args([profiler.as_path(), &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/profiler.c")])
        .status();
    assert!(compiled.unwrap().success());
    let lines = "begin layers.0\nbegin matmul\nend\nend\nend\n";
    assert_eq!(seen(true, Some(&profiler), folder.path()), lines);
    assert_eq!(seen(false, Some(&profiler), folder.path()), "", "nobody asked");
}
