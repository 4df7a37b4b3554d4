//! Compiles `kernels/*.cu` to one fatbin a file, where a CUDA 13 compiler is; embeds none where there is not.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

/// Machine code for the chips that the kernels were written for, and PTX from which a driver makes code for others.
/// `OPENELM_CUDA_ARCHS` replaces the list; a release builds more.
const ARCHS: &str = "sm_90a compute_80";

fn main() {
    for name in ["OPENELM_NVCC", "OPENELM_CUDA_ARCHS", "CUDA_HOME"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=kernels");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let compiler = find_compiler();
    let sources = compiler.as_ref().map_or_else(Vec::new, |_| sources());
    if let Some(compiler) = &compiler {
        compile_all(compiler, &sources, &out);
    }
    let mut table = String::from(
        "/// Name and code of every file of kernels.\npub static MODULES: &[(&str, &[u8])] = &[\n",
    );
    for source in &sources {
        let (name, fatbin) = (stem(source), fatbin(source, &out));
        let _ = writeln!(table, "    ({name:?}, include_bytes!({fatbin:?})),");
    }
    table.push_str("];\n");
    let _ = writeln!(table, "/// Whether a CUDA compiler was there when this was built.");
    let _ = writeln!(table, "pub const COMPILED: bool = {};", compiler.is_some());
    write_if_changed(&out.join("modules.rs"), &table);
}

fn sources() -> Vec<PathBuf> {
    let entries = fs::read_dir("kernels").expect("the folder of kernels is part of the crate");
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "cu"));
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("sources have names").to_string_lossy().into_owned()
}

fn fatbin(source: &Path, out: &Path) -> PathBuf {
    out.join(stem(source)).with_extension("fatbin")
}

/// nvcc of CUDA 13: `OPENELM_NVCC`, `CUDA_HOME`, the search path, or the folder that `npm run setup:cuda` fills.
fn find_compiler() -> Option<PathBuf> {
    let name = format!("nvcc{}", env::consts::EXE_SUFFIX);
    let mut candidates = Vec::new();
    if let Some(named) = env::var_os("OPENELM_NVCC") {
        candidates.push(PathBuf::from(named));
    }
    if let Some(home) = env::var_os("CUDA_HOME") {
        candidates.push(Path::new(&home).join("bin").join(&name));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    candidates.extend(env::split_paths(&path).map(|folder| folder.join(&name)));
    // One folder for each version of Python lies in between.
    let private = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cuda/lib");
    println!("cargo:rerun-if-changed={}", private.display());
    for python in fs::read_dir(private).into_iter().flatten().flatten() {
        candidates.push(python.path().join("site-packages/nvidia/cu13/bin").join(&name));
    }
    let found: Vec<PathBuf> = candidates.into_iter().filter(|path| path.is_file()).collect();
    if found.is_empty() {
        println!("cargo:warning=no nvcc was found, so this build has no CUDA kernels (npm run setup:cuda)");
    }
    found.into_iter().find(|path| {
        let version = Command::new(path).arg("--version").output();
        let text = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let right = text.as_ref().is_ok_and(|text| text.contains("release 13."));
        if !right {
            println!("cargo:warning={} is not of CUDA 13 and is not used", path.display());
        }
        right
    })
}

/// Compiles what has changed since the last build, several files at a time.
fn compile_all(compiler: &Path, sources: &[PathBuf], out: &Path) {
    let shared = headers();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let jobs = env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(1usize);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(message) = compile(compiler, source, &shared, out) {
                        failures.lock().expect("no thread panics").push(message);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread panics");
    if !failures.is_empty() {
        eprintln!("{}", failures.join("\n"));
        std::process::exit(1);
    }
}

/// What all kernels include, as one text.
fn headers() -> String {
    let entries = fs::read_dir("kernels").expect("the folder of kernels is part of the crate");
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "cuh"));
    files.sort();
    files.iter().map(|path| fs::read_to_string(path).expect("headers are text")).collect()
}

fn compile(compiler: &Path, source: &Path, shared: &str, out: &Path) -> Result<(), String> {
    let text = fs::read_to_string(source).map_err(|error| format!("{}: {error}", source.display()))?;
    let archs = env::var("OPENELM_CUDA_ARCHS").unwrap_or_else(|_| ARCHS.into());
    let mut flags: Vec<String> =
        ["-O3", "-std=c++17", "-fatbin", "-compress-mode=size", "-Werror", "all-warnings"]
            .map(String::from)
            .to_vec();
    for arch in archs.split_whitespace() {
        let number = arch.trim_start_matches("sm_").trim_start_matches("compute_");
        flags.extend(["-gencode".into(), format!("arch=compute_{number},code={arch}")]);
    }
    let (target, stamp) = (fatbin(source, out), out.join(stem(source)).with_extension("stamp"));
    let mut hasher = DefaultHasher::new();
    (&text, shared, &flags, compiler).hash(&mut hasher);
    let hash = hasher.finish().to_string();
    if target.exists() && fs::read_to_string(&stamp).is_ok_and(|last| last == hash) {
        return Ok(());
    }
    let output = Command::new(compiler).args(&flags).arg("-o").arg(&target).arg(source).output();
    let output = output.map_err(|error| format!("{}: {error}", compiler.display()))?;
    if !output.status.success() {
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        return Err(format!("{}:\n{stdout}{stderr}", source.display()));
    }
    fs::write(&stamp, hash).map_err(|error| error.to_string())
}

fn write_if_changed(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).expect("OUT_DIR can be written to");
}
