//! Times `matmul` at shapes of training and decoding: `cargo run --release -p elm-cpu --example matmul_speed [threads]`.

use std::time::Instant;

use elm_core::{Attrs, DType, KernelCall, Layout, View};
use elm_cpu::Pool;

/// `m × k × n`, and whether the weights are stored `[n, k]`.
const SHAPES: [([usize; 3], bool); 10] = [
    ([512, 1280, 1536], true),
    ([2048, 192, 768], true),
    ([512, 256, 1024], true),
    ([192, 2048, 768], false),
    ([2048, 256, 1024], true),
    ([1, 1280, 7680], true),
    ([1, 1280, 7680], false),
    ([4, 1280, 7680], true),
    ([16, 1280, 7680], true),
    ([16, 1280, 7680], false),
];

fn main() {
    let threads = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2);
    let pool = Pool::new(threads);
    println!(
        "{threads} threads{:>24}{:>8}{:>12}{:>12}{:>12}",
        "m × k × n", "dtype", "GFLOP/s", "best", "GB/s of b"
    );
    for (size, transposed) in SHAPES {
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let [best, median] = time(&pool, size, transposed, dtype);
            let [m, k, n] = size;
            let name = format!("{m}×{k}×{n}{}", if transposed { " (A·Wᵀ)" } else { "" });
            let gflops = 2.0 * (m * n * k) as f64 * 1e-9;
            let bytes = (k * n * dtype.size()) as f64 * 1e-9;
            println!(
                "{name:>33}{:>8}{:>12.1}{:>12.1}{:>12.1}",
                dtype.name(),
                gflops / median,
                gflops / best,
                bytes / best
            );
        }
    }
}

/// The best and the median of some calls, in seconds.
fn time(pool: &Pool, [m, k, n]: [usize; 3], transposed: bool, dtype: DType) -> [f64; 2] {
    let kernel =
        elm_cpu::ops::KERNELS.iter().flat_map(|file| file.iter()).find(|kernel| kernel.op == "matmul");
    let kernel = kernel.expect("matmul has a kernel");
    let attrs = Attrs { defs: &[], values: Default::default() };
    // Bits of 0x3c00…: small normal numbers in all three dtypes.
    let mut memory = [m * k, k * n, m * n].map(|len| vec![0x3c01_3c02u32; len]);
    let layout_b =
        if transposed { Layout::contiguous(&[n, k]).permute(&[1, 0]) } else { Layout::contiguous(&[k, n]) };
    let layouts = [Layout::contiguous(&[m, k]), layout_b, Layout::contiguous(&[m, n])];
    let mut views = memory
        .iter_mut()
        .zip(layouts)
        .map(|(memory, layout)| Some(View { base: memory.as_mut_ptr().cast(), dtype, layout }));
    let inputs = [views.next().flatten(), views.next().flatten()];
    let outputs = [views.next().flatten()];
    let mut workspace = vec![0u64; (kernel.workspace)(&inputs, &outputs, &attrs).div_ceil(8)];
    let workspace = workspace.as_mut_ptr().cast();
    let mut times: Vec<f64> = (0..60)
        .map(|_| {
            let since = Instant::now();
            let call =
                KernelCall { attrs: &attrs, inputs: &inputs, outputs: &outputs, workspace, context: pool };
            (kernel.run)(&call).expect("a product cannot fail");
            since.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    [times[0], times[times.len() / 2]]
}
