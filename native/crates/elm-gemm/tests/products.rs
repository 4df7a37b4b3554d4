//! Products of whole numbers, whose sums are exact in every type, against the definition.

use elm_gemm::{Accumulator, Level, Matrix, Operand, Output, Run, Serial, multiply};
use half::{bf16, f16};

/// Types that the tests fill and read.
trait Value: Operand + Default + PartialEq + std::fmt::Debug {
    fn of(x: f64) -> Self;
}
impl Value for f64 {
    fn of(x: f64) -> f64 {
        x
    }
}
impl Value for f32 {
    fn of(x: f64) -> f32 {
        x as f32
    }
}
impl Value for bf16 {
    fn of(x: f64) -> bf16 {
        bf16::from_f64(x)
    }
}
impl Value for f16 {
    fn of(x: f64) -> f16 {
        f16::from_f64(x)
    }
}

/// How a matrix lies in its buffer: element `[i, j]` at `i·rows + j·columns`.
#[derive(Clone, Copy, Debug)]
enum Lies {
    RowMajor,
    ColumnMajor,
    /// Neither axis straight, and a gap behind each row.
    Strided,
    /// Rows run backwards.
    Backwards,
}

struct Filled<T> {
    buffer: Vec<T>,
    start: usize,
    steps: [isize; 2],
}

impl<T: Value> Filled<T> {
    fn new([m, n]: [usize; 2], lies: Lies, value: impl Fn(usize, usize) -> f64) -> Filled<T> {
        let (start, steps) = match lies {
            Lies::RowMajor => (0, [n as isize, 1]),
            Lies::ColumnMajor => (0, [1, m as isize]),
            Lies::Strided => (3, [3 * n as isize + 5, 3]),
            Lies::Backwards => (m.saturating_sub(1) * n, [-(n as isize), 1]),
        };
        let mut filled = Filled { buffer: vec![T::default(); (m + 1) * (3 * n + 5) + 8], start, steps };
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let at = filled.at(i, j);
            filled.buffer[at] = T::of(value(i, j));
        }
        filled
    }
    fn at(&self, i: usize, j: usize) -> usize {
        (self.start as isize + i as isize * self.steps[0] + j as isize * self.steps[1]) as usize
    }
    fn matrix(&self) -> Matrix<T> {
        let start = self.buffer.as_ptr().cast_mut().wrapping_add(self.start);
        Matrix { start, rows: self.steps[0], columns: self.steps[1] }
    }
}

fn left(i: usize, p: usize) -> f64 {
    ((i * 7 + p * 3) % 5) as f64 - 2.0
}
fn right(p: usize, j: usize) -> f64 {
    ((p * 5 + j * 2) % 7) as f64 - 3.0
}

/// Several threads, so that a race would show.
struct Threads(usize);
impl Run for Threads {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for thread in 0..self.0 {
                scope.spawn(move || (thread..tasks).step_by(self.0).for_each(task));
            }
        });
    }
}

fn check<A, B, Y>(level: Level, size: [usize; 3], lies: [Lies; 2], run: &impl Run)
where
    A: Value + Operand<Sum: Accumulator>,
    B: Value + Operand<Sum = A::Sum>,
    Y: Value + Output<Sum = A::Sum>,
{
    let [m, n, k] = size;
    let a = Filled::<A>::new([m, k], lies[0], left);
    let b = Filled::<B>::new([k, n], lies[1], right);
    for add in [false, true] {
        if add && !Y::IS_SUM {
            continue;
        }
        // What is there before must not matter unless it is added to.
        let before = if add { 2.0 } else { f64::NAN };
        // A gap behind every row shows what is written outside.
        let width = n + 3;
        let mut out = vec![Y::of(before); m * width];
        let target = Matrix { start: out.as_mut_ptr(), rows: width as isize, columns: 1 };
        // SAFETY: the buffers hold these matrices.
        unsafe { multiply(run, level, size, a.matrix(), b.matrix(), target, add) };
        for (i, j) in (0..m).flat_map(|i| (0..width).map(move |j| (i, j))) {
            let got = out[i * width + j];
            if j >= n {
                let untouched = format!("{:?}", Y::of(before));
                assert_eq!(format!("{got:?}"), untouched, "{level:?} {size:?}: wrote behind row {i}");
                continue;
            }
            let sum: f64 = (0..k).map(|p| left(i, p) * right(p, j)).sum();
            let want = Y::of(sum + if add { before } else { 0.0 });
            assert_eq!(got, want, "{level:?} {size:?} {lies:?} [{i}, {j}] add {add}");
        }
    }
}

const SIZES: [[usize; 3]; 14] = [
    [1, 1, 1],
    [3, 5, 0],
    [1, 33, 7],
    [14, 32, 8],
    [13, 31, 9],
    [15, 33, 17],
    [28, 64, 16],
    [6, 16, 1],
    [7, 17, 2],
    [50, 3, 40],
    [20, 70, 385],
    [29, 65, 771],
    [130, 40, 50],
    [17, 1100, 30],
];
const LIES: [[Lies; 2]; 6] = [
    [Lies::RowMajor, Lies::RowMajor],
    [Lies::RowMajor, Lies::ColumnMajor],
    [Lies::ColumnMajor, Lies::RowMajor],
    [Lies::ColumnMajor, Lies::ColumnMajor],
    [Lies::Strided, Lies::Backwards],
    [Lies::Backwards, Lies::Strided],
];

fn every_size<A, B, Y>()
where
    A: Value + Operand<Sum: Accumulator>,
    B: Value + Operand<Sum = A::Sum>,
    Y: Value + Output<Sum = A::Sum>,
{
    for level in Level::all() {
        for size in SIZES {
            for lies in LIES {
                check::<A, B, Y>(level, size, lies, &Serial);
            }
        }
    }
}

#[test]
fn products_equal_the_definition_in_every_type() {
    every_size::<f32, f32, f32>();
    every_size::<f64, f64, f64>();
    every_size::<bf16, bf16, f32>();
    every_size::<bf16, bf16, bf16>();
    every_size::<f16, f16, f32>();
    every_size::<f16, f16, f16>();
    every_size::<f32, bf16, f32>();
    every_size::<bf16, f32, bf16>();
}

#[test]
fn blocks_of_a_large_product_meet() {
    for level in Level::all() {
        check::<f32, f32, f32>(level, [2100, 1050, 5], [Lies::RowMajor, Lies::ColumnMajor], &Threads(3));
        check::<bf16, bf16, bf16>(level, [90, 1050, 900], [Lies::RowMajor, Lies::ColumnMajor], &Threads(3));
    }
}

#[test]
fn a_result_may_lie_column_by_column() {
    let size = [37, 21, 12];
    let [m, n, k] = size;
    let a = Filled::<f32>::new([m, k], Lies::RowMajor, left);
    let b = Filled::<f32>::new([k, n], Lies::RowMajor, right);
    let mut out = vec![0f32; m * n];
    let target = Matrix { start: out.as_mut_ptr(), rows: 1, columns: m as isize };
    // SAFETY: the buffers hold these matrices.
    unsafe { multiply(&Serial, Level::best(), size, a.matrix(), b.matrix(), target, false) };
    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
        assert_eq!(f64::from(out[j * m + i]), (0..k).map(|p| left(i, p) * right(p, j)).sum::<f64>());
    }
}

/// Noise, so that the order of a sum shows in its bits.
fn noise(seed: usize) -> impl Fn(usize, usize) -> f64 {
    move |i, j| {
        let x = (i * 0x9e37_79b9 + j * 0x85eb_ca6b + seed * 0xc2b2_ae35) as u32;
        f64::from(x.wrapping_mul(x | 1) >> 8) / f64::from(1 << 24) - 0.5
    }
}

#[test]
fn rows_columns_strides_and_threads_change_no_bit() {
    fn product<T: Value + Operand<Sum = f32>>(
        level: Level,
        rows: usize,
        n: usize,
        lies: [Lies; 2],
        threads: usize,
    ) -> Vec<f32> {
        let k = 1000;
        let a = Filled::<T>::new([rows, k], lies[0], noise(1));
        let b = Filled::<T>::new([k, n], lies[1], noise(2));
        let mut out = vec![0f32; rows * n];
        let target = Matrix::row_major(out.as_mut_ptr(), n);
        // SAFETY: the buffers hold these matrices.
        unsafe { multiply(&Threads(threads), level, [rows, n, k], a.matrix(), b.matrix(), target, false) };
        out
    }
    fn check<T: Value + Operand<Sum = f32>>(level: Level) {
        let all = product::<T>(level, 100, 90, [Lies::RowMajor, Lies::RowMajor], 1);
        for lies in LIES {
            assert_eq!(product::<T>(level, 100, 90, lies, 4), all, "{level:?} {lies:?}");
        }
        let few = product::<T>(level, 17, 41, [Lies::RowMajor, Lies::ColumnMajor], 2);
        for (i, j) in (0..17).flat_map(|i| (0..41).map(move |j| (i, j))) {
            assert_eq!(few[i * 41 + j], all[i * 90 + j], "{level:?} [{i}, {j}]");
        }
    }
    for level in Level::all() {
        check::<f32>(level);
        check::<bf16>(level);
    }
}

#[test]
fn nan_and_infinity_reach_the_result() {
    for level in Level::all() {
        let mut a = Filled::<f32>::new([20, 40], Lies::RowMajor, |_, _| 1.0);
        let b = Filled::<f32>::new([40, 40], Lies::RowMajor, |_, _| 1.0);
        a.buffer[5 * 40 + 39] = f32::NAN;
        a.buffer[19 * 40] = f32::INFINITY;
        let mut out = vec![0f32; 20 * 40];
        let target = Matrix::row_major(out.as_mut_ptr(), 40);
        // SAFETY: the buffers hold these matrices.
        unsafe { multiply(&Serial, level, [20, 40, 40], a.matrix(), b.matrix(), target, false) };
        for (i, row) in out.chunks(40).enumerate() {
            let right = |x: &f32| match i {
                5 => x.is_nan(),
                19 => *x == f32::INFINITY,
                _ => *x == 40.0,
            };
            assert!(row.iter().all(right), "{level:?} row {i}: {row:?}");
        }
    }
}
