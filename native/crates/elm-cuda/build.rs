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

/// An nvcc and what it says of itself.
struct Compiler {
    path: PathBuf,
    version: String,
}

fn main() {
    for name in ["OPENELM_NVCC", "OPENELM_CUDA_ARCHS", "OPENELM_CUDA_CACHE", "CUDA_HOME"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=kernels");
    println!("cargo:rerun-if-changed=nvtx");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let compiler = find_compiler();
    let mut modules = compiler.as_ref().map_or_else(Vec::new, |compiler| compile_all(compiler, &cache(&out)));
    compile_ranges(compiler.as_ref());
    modules.sort();
    let mut table = String::from(
        "/// Name and code of every file of kernels.\npub static MODULES: &[(&str, &[u8])] = &[\n",
    );
    for (name, fatbin) in &modules {
        let _ = writeln!(table, "    ({name:?}, include_bytes!({fatbin:?})),");
    }
    table.push_str("];\n");
    let _ = writeln!(table, "/// Whether a CUDA compiler was there when this was built.");
    let _ = writeln!(table, "pub const COMPILED: bool = {};", compiler.is_some());
    write_if_changed(&out.join("modules.rs"), &table);
}

/// The files of kernels with an ending, in order.
fn files(ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir("kernels").expect("the folder of kernels is part of the crate");
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|own| own == ending));
    files.sort();
    files
}

/// Where compiled kernels lie: in `OPENELM_CUDA_CACHE`, else in cargo's target folder, since each set of features that cargo builds this crate with has
/// an output folder of its own, and the kernels are the same in all.
fn cache(out: &Path) -> PathBuf {
    let cache = env::var_os("OPENELM_CUDA_CACHE").filter(|named| !named.is_empty()).map_or_else(
        // target/release/build/elm-cuda-…/out
        || out.ancestors().nth(4).expect("cargo nests output folders").join("cuda-kernels"),
        PathBuf::from,
    );
    assert!(cache.is_absolute(), "OPENELM_CUDA_CACHE must be an absolute path, got {}", cache.display());
    fs::create_dir_all(&cache).expect("the folder of compiled kernels can be written to");
    cache
}

/// nvcc of CUDA 13: `OPENELM_NVCC`, `CUDA_HOME`, the search path, or the folder that `npm run setup:cuda` fills.
fn find_compiler() -> Option<Compiler> {
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
    candidates.extend(wheels().into_iter().map(|folder| folder.join("bin").join(&name)));
    let found: Vec<PathBuf> = candidates.into_iter().filter(|path| path.is_file()).collect();
    if found.is_empty() {
        println!("cargo:warning=no nvcc was found, so this build has no CUDA kernels (npm run setup:cuda)");
    }
    found.into_iter().find_map(|path| {
        let output = Command::new(&path).arg("--version").output();
        let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let right = version.ok().filter(|version| version.contains("release 13."));
        if right.is_none() {
            println!("cargo:warning={} is not of CUDA 13 and is not used", path.display());
        }
        Some(Compiler { version: right?, path })
    })
}

/// The folders that `npm run setup:cuda` fills.
fn wheels() -> Vec<PathBuf> {
    // One folder for each version of Python lies in between.
    let private = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cuda/lib");
    println!("cargo:rerun-if-changed={}", private.display());
    let pythons = fs::read_dir(private).into_iter().flatten().flatten();
    pythons.map(|python| python.path().join("site-packages/nvidia/cu13")).collect()
}

/// Compiles the ranges that profilers show where NVTX's header is: beside the compiler, as a rule. Builds without it have none.
fn compile_ranges(compiler: Option<&Compiler>) {
    println!("cargo:rustc-check-cfg=cfg(nvtx)");
    let beside = compiler.and_then(|compiler| compiler.path.ancestors().nth(2)).map(Path::to_owned);
    let homes = beside.into_iter().chain(env::var_os("CUDA_HOME").map(PathBuf::from)).chain(wheels());
    let mut includes = homes.map(|home| home.join("include"));
    let Some(include) = includes.find(|folder| folder.join("nvtx3/nvToolsExt.h").is_file()) else { return };
    let mut shim = cc::Build::new();
    shim.file("nvtx/ranges.c").include(&include);
    shim.compile("openelm_ranges");
    println!("cargo:rustc-cfg=nvtx");
    println!("cargo:rustc-env=OPENELM_NVTX_INCLUDE={}", include.display());
}

/// Compiles what has changed since the last build, several files at a time: name and fatbin of each.
fn compile_all(compiler: &Compiler, cache: &Path) -> Vec<(String, PathBuf)> {
    let sources = files("cu");
    let next = AtomicUsize::new(0);
    let (modules, failures) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let jobs = env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(1usize);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match compile(compiler, source, cache) {
                        Ok(module) => modules.lock().expect("no thread panics").push(module),
                        Err(message) => failures.lock().expect("no thread panics").push(message),
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
    modules.into_inner().expect("no thread panics")
}

fn compile(compiler: &Compiler, source: &Path, cache: &Path) -> Result<(String, PathBuf), String> {
    let name = source.file_stem().expect("sources have names").to_string_lossy().into_owned();
    let mut texts = Vec::new();
    read_with_headers(source, &mut texts)?;
    let archs = env::var("OPENELM_CUDA_ARCHS").unwrap_or_else(|_| ARCHS.into());
    let mut flags: Vec<String> =
        ["-O3", "-std=c++17", "-fatbin", "-compress-mode=size", "-Werror", "all-warnings"]
            .map(String::from)
            .to_vec();
    for arch in archs.split_whitespace() {
        let number = arch.trim_start_matches("sm_").trim_start_matches("compute_");
        flags.extend(["-gencode".into(), format!("arch=compute_{number},code={arch}")]);
    }
    let mut hasher = DefaultHasher::new();
    // Its version and not its path: the same compiler at another place writes the same code.
    (&texts, &flags, &compiler.version).hash(&mut hasher);
    let target = cache.join(format!("{name}-{:016x}.fatbin", hasher.finish()));
    if target.exists() {
        return Ok((name, target));
    }
    // Two builds at once may meet here: each writes a file of its own, and the last one stays.
    let unfinished = target.with_extension(format!("{}.tmp", std::process::id()));
    let output = Command::new(&compiler.path).args(&flags).arg("-o").arg(&unfinished).arg(source).output();
    let output = output.map_err(|error| format!("{}: {error}", compiler.path.display()))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // What it says, as a remark, of products that wait for each other: right, and a third slower.
    let is_slow = stderr.contains("Potential Performance Loss");
    if !output.status.success() || is_slow {
        let _ = fs::remove_file(&unfinished);
        return Err(format!("{}:\n{stdout}{stderr}", source.display()));
    }
    fs::rename(&unfinished, &target).map_err(|error| format!("{}: {error}", target.display()))?;
    Ok((name, target))
}

/// A file and all that it includes from beside it, each once: what its machine code depends on.
fn read_with_headers(path: &Path, texts: &mut Vec<(PathBuf, String)>) -> Result<(), String> {
    if texts.iter().any(|(known, _)| known == path) {
        return Ok(());
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let included = text.lines().filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"'));
    let headers: Vec<PathBuf> = included.map(|name| path.with_file_name(name)).collect();
    texts.push((path.to_owned(), text));
    headers.iter().try_for_each(|header| read_with_headers(header, texts))
}

fn write_if_changed(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).expect("OUT_DIR can be written to");
}
