use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads of the text pool: `OPENELM_THREADS`, or what affinity and quota allow this process.
pub fn threads() -> usize {
    let asked = std::env::var("OPENELM_THREADS").ok().and_then(|text| text.parse().ok()).filter(|&n| n > 0);
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// The pool that all text work runs on.
///
/// It is not the tensor pool: tokenizing a corpus beside a training step must not sit between two kernels.
pub fn pool() -> &'static ThreadPool {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| {
        ThreadPoolBuilder::new()
            .num_threads(threads())
            .thread_name(|i| format!("elm-text-{i}"))
            .build()
            .expect("the operating system starts threads")
    })
}
