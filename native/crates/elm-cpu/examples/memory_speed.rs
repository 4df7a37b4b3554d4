//! Bytes a second of kernels that mostly move memory, on one thread and by its processor time, so that other work of
//! the machine hardly shows: `cargo run --release -p elm-cpu --example memory_speed [WORD…]` runs cases whose names
//! hold one of the words.

use std::alloc::{Layout as Room, alloc};

use elm_core::{DType, KernelCall, Layout, Sample, View, sample};
use elm_cpu::Pool;

const ROUNDS: usize = 9;
const N: usize = 1 << 24;

struct Case {
    name: &'static str,
    op: &'static str,
    attrs: Sample,
    inputs: Vec<View>,
    outputs: Vec<View>,
    /// Bytes read and written.
    bytes: usize,
}

/// Zeroed memory on huge pages, never given back.
fn view(dtype: DType, shape: &[usize]) -> View {
    let layout = Layout::contiguous(shape);
    let bytes = (layout.elements() * dtype.size()).next_multiple_of(2 << 20).max(2 << 20);
    // SAFETY: the size is not zero; the advice covers the new block only.
    let base = unsafe {
        let base = alloc(Room::from_size_align(bytes, 2 << 20).expect("a size"));
        libc::madvise(base.cast(), bytes, libc::MADV_HUGEPAGE);
        base.write_bytes(0, bytes);
        base
    };
    View { base, dtype, layout }
}

fn permuted(view: &View, axes: &[usize]) -> View {
    View { layout: view.layout.permute(axes), ..view.clone() }
}

fn cases() -> Vec<Case> {
    use DType::{BF16, Bool, F16, F32, F64, I32, U8};
    let [a, b, y] = [0; 3].map(|_| view(F32, &[N]));
    let one = view(F32, &[1]);
    let bits = view(Bool, &[N]);
    let [ha, hy] = [BF16, BF16].map(|dtype| view(dtype, &[N]));
    let as_shape = |view: &View, dtype: DType, shape: &[usize]| View {
        layout: Layout::contiguous(shape),
        dtype,
        ..view.clone()
    };
    let rate = view(F32, &[]);
    let mut all = Vec::new();
    let mut case = |name, op, attrs, inputs: &[&View], outputs: &[&View], bytes| {
        let [inputs, outputs] =
            [inputs, outputs].map(|views| views.iter().map(|&view| view.clone()).collect());
        all.push(Case { name, op, attrs, inputs, outputs, bytes });
    };
    let plain = || sample(&[]);
    case("limit: accumulate", "accumulate", plain(), &[&rate, &y, &a], &[], 12 * N);
    case("add", "add", plain(), &[&a, &b], &[&y], 12 * N);
    case("add bf16", "add", plain(), &[&ha, &ha], &[&hy], 4 * N);
    case("add a number", "add", plain(), &[&a, &one], &[&y], 8 * N);
    let square = [4096, N / 4096];
    let [sa, sy] = [&a, &y].map(|view| as_shape(view, F32, &square));
    case("add a row", "add", plain(), &[&sa, &as_shape(&b, F32, &square[1..])], &[&sy], 8 * N);
    case("add a column", "add", plain(), &[&sa, &as_shape(&b, F32, &[4096, 1])], &[&sy], 8 * N);
    case("where", "where", plain(), &[&bits, &a, &b], &[&y], 13 * N);
    case("neg", "neg", plain(), &[&a], &[&y], 8 * N);
    case("neg bf16", "neg", plain(), &[&ha], &[&hy], 4 * N);
    case("exp", "exp", plain(), &[&a], &[&y], 8 * N);
    for (name, from, to) in [
        ("cast f32 bf16", F32, BF16),
        ("cast bf16 f32", BF16, F32),
        ("cast f32 f16", F32, F16),
        ("cast f16 f32", F16, F32),
        ("cast f32 i32", F32, I32),
        ("cast i32 f32", I32, F32),
        ("cast bf16 f16", BF16, F16),
        ("cast u8 f32", U8, F32),
    ] {
        let [from, to] = [as_shape(&a, from, &[N]), as_shape(&y, to, &[N])];
        let bytes = from.bytes() + to.bytes();
        case(name, "cast", plain(), &[&from], &[&to], bytes);
    }
    case("full", "full", plain().f64("value", 1.0), &[], &[&y], 4 * N);
    case("copy", "copy", plain(), &[&a], &[&y], 8 * N);
    for (name, dtype, [rows, columns]) in [
        ("transpose u8", U8, [4096, 4096]),
        ("transpose bf16", BF16, [4096, 4096]),
        ("transpose f32", F32, [4096, 4096]),
        ("transpose f32 odd", F32, [4097, 4091]),
        ("transpose f32 1000x16000", F32, [1000, 16_000]),
        ("transpose f32 small 512", F32, [512, 512]),
        ("transpose f64", F64, [2048, 4096]),
    ] {
        let x = permuted(&as_shape(&a, dtype, &[rows, columns]), &[1, 0]);
        let bytes = 2 * x.bytes();
        case(name, "contiguous", plain(), &[&x], &[&as_shape(&y, dtype, &[columns, rows])], bytes);
    }
    for (name, axes) in [
        ("permute BTHD to BHTD", [0, 2, 1, 3]),
        ("permute BTHD to BHDT", [0, 2, 3, 1]),
        ("permute DHTB", [3, 2, 1, 0]),
    ] {
        let x = permuted(&as_shape(&a, F32, &[16, 1024, 16, 64]), &axes);
        case(name, "contiguous", plain(), &[&x], &[&as_shape(&y, F32, x.shape())], 8 * N);
    }
    let half = as_shape(&a, F32, &[4096, N / 8192]);
    case("concat", "concat", plain().int("axis", 1), &[&half, &half], &[&sy], 8 * N);
    let pads = plain().ints("pads", &[0, 0, 16, 16]).f64("value", 0.0);
    case("pad", "pad", pads, &[&as_shape(&a, F32, &[4096, 4064])], &[&sy], 8 * N);
    case("sum", "sum", plain(), &[&a], &[&rate], 4 * N);
    case("sum bf16", "sum", plain(), &[&ha], &[&as_shape(&rate, BF16, &[])], 2 * N);
    case("sum of rows", "sum", plain().ints("axis", &[1]), &[&sa], &[&as_shape(&y, F32, &[4096])], 4 * N);
    case("sum of columns", "sum", plain().ints("axis", &[0]), &[&sa], &[&as_shape(&y, F32, &[4096])], 4 * N);
    case("max", "max", plain(), &[&a], &[&rate], 4 * N);
    case("max of columns", "max", plain().ints("axis", &[0]), &[&sa], &[&as_shape(&y, F32, &[4096])], 4 * N);
    case("global_norm", "global_norm", plain(), &[&a], &[&rate], 4 * N);
    case("global_norm bf16", "global_norm", plain(), &[&ha], &[&rate], 2 * N);
    let [m, v] = [view(F32, &[N]), view(F32, &[N])];
    let step = as_shape(&view(F32, &[]), F32, &[]);
    // SAFETY: a scalar of f32.
    unsafe { step.base.cast::<f32>().write(3.0) };
    case("adamw", "adamw", plain(), &[&rate, &step, &rate, &rate, &y, &a, &m, &v], &[], 28 * N);
    case("sgd", "sgd", plain(), &[&rate, &step, &rate, &y, &a], &[], 12 * N);
    case("accumulate bf16", "accumulate", plain(), &[&rate, &y, &ha], &[], 10 * N);
    let table = as_shape(&a, F32, &[13_107, 1280]);
    let ids = view(I32, &[2048]);
    for i in 0..2048usize {
        // SAFETY: inside the ids.
        unsafe { ids.base.cast::<i32>().add(i).write((i * 7919 % 13_107) as i32) };
    }
    let rows = as_shape(&b, F32, &[2048, 1280]);
    case("embedding", "embedding", plain(), &[&table, &ids], &[&rows], 2 * rows.bytes());
    let target = as_shape(&y, F32, &[13_107, 1280]);
    let bytes = rows.bytes() + target.bytes();
    case(
        "embedding back",
        "embedding_backward",
        plain().int("rows", 13_107),
        &[&rows, &ids],
        &[&target],
        bytes,
    );
    all
}

fn seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct lives across the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |case: &Case| words.is_empty() || words.iter().any(|word| case.name.contains(word));
    let pool = Pool::new(1);
    for case in cases().into_iter().filter(wanted) {
        let kernel = elm_cpu::ops::KERNELS.iter().flat_map(|file| file.iter());
        let kernel = kernel.into_iter().find(|kernel| kernel.op == case.op).expect("a kernel");
        let attrs = case.attrs.attrs(elm_ops::find(case.op).expect("an op"));
        let [inputs, outputs] =
            [case.inputs, case.outputs].map(|views| views.into_iter().map(Some).collect::<Vec<_>>());
        let mut workspace = vec![0u64; (kernel.workspace)(&inputs, &outputs, &attrs).div_ceil(8)];
        let workspace = workspace.as_mut_ptr().cast();
        let context = &pool;
        let mut rates: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let since = seconds();
                (kernel.run)(&KernelCall {
                    attrs: &attrs,
                    inputs: &inputs,
                    outputs: &outputs,
                    workspace,
                    context,
                })
                .expect("the call is valid");
                case.bytes as f64 / (seconds() - since) * 1e-9
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        println!("{:28}{:8.1} GB/s, best {:.1}", case.name, rates[ROUNDS / 2], rates[ROUNDS - 1]);
    }
}
