//! GFLOP/s of products of the sizes that models have, beside crate `gemm`.
use std::time::Instant;

/// Seconds that this thread has run: what others do on the machine does not count.
fn busy() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

use elm_gemm::{Level, Matrix, Run, Serial, multiply};
use half::bf16;

/// Two threads that spin between jobs, as the pool of an engine does.
struct Two;
impl Run for Two {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= tasks {
                    break;
                }
                task(i);
            }
        };
        if tasks == 1 {
            return work();
        }
        std::thread::scope(|scope| {
            scope.spawn(work);
            work();
        });
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let level = Level::best();
    println!("{level:?}");
    let names: Vec<String> = std::env::args().skip(1).collect();
    let threads2 = names.iter().any(|n| n == "2");
    for [m, n, k] in [
        [64, 1024, 784],
        [1024, 784, 64],
        [64, 10, 1024],
        [128, 1536, 1280],
        [20, 1024, 1280],
        [40, 1024, 1280],
        [64, 64, 64],
        [128, 128, 128],
        [256, 256, 256],
        [1024, 1024, 1024],
        [512, 1536, 1280],
        [512, 1280, 3840],
        [2048, 768, 192],
        [192, 768, 2048],
        [2048, 2048, 2048],
    ] {
        let (a, b) = (vec![0.5f32; m * k], vec![0.25f32; k * n]);
        let (a16, b16): (Vec<bf16>, Vec<bf16>) =
            (a.iter().map(|&x| bf16::from_f32(x)).collect(), b.iter().map(|&x| bf16::from_f32(x)).collect());
        let mut c = vec![0f32; m * n];
        let flops = 2.0 * (m * n * k) as f64;
        let calls = ((2e9 / flops) as usize).max(1);
        let left = Matrix::row_major(a.as_ptr().cast_mut(), k);
        let left16 = Matrix::row_major(a16.as_ptr().cast_mut(), k);
        let right = Matrix::row_major(b.as_ptr().cast_mut(), n);
        let turned = Matrix::row_major(b.as_ptr().cast_mut(), k).transposed();
        let turned16 = Matrix::row_major(b16.as_ptr().cast_mut(), k).transposed();
        let out = Matrix::row_major(c.as_mut_ptr(), n);
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..7 {
            for (which, times) in times.iter_mut().enumerate() {
                let (since, used) = (Instant::now(), busy());
                for _ in 0..calls {
                    // SAFETY: the vectors have these sizes.
                    unsafe {
                        let size = [m, n, k];
                        match which {
                            0 if threads2 => multiply(&Two, level, size, left, right, out, false),
                            0 => multiply(&Serial, level, size, left, right, out, false),
                            1 if threads2 => multiply(&Two, level, size, left, turned, out, false),
                            1 => multiply(&Serial, level, size, left, turned, out, false),
                            2 if threads2 => multiply(&Two, level, size, left16, turned16, out, false),
                            2 => multiply(&Serial, level, size, left16, turned16, out, false),
                            _ => gemm::gemm(
                                m,
                                n,
                                k,
                                out.start,
                                1,
                                n as isize,
                                false,
                                left.start,
                                1,
                                k as isize,
                                turned.start,
                                turned.columns,
                                turned.rows,
                                0.0,
                                1.0,
                                false,
                                false,
                                false,
                                gemm::Parallelism::None,
                            ),
                        }
                    }
                }
                let took = if threads2 { since.elapsed().as_secs_f64() } else { busy() - used };
                times.push(took / calls as f64);
            }
        }
        let [nn, nt, half, crate_gemm] = times.map(|t| flops / median(t) / 1e9);
        println!(
            "{m}x{n}x{k}: nn {nn:.0}  nt {nt:.0}  bf16 nt {half:.0}  gemm nt {crate_gemm:.0} (1 thread)"
        );
    }
}
