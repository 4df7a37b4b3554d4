//! Micro-kernels: the product of one panel of `A` and one of `B`, with all sums in registers.

/// What a panel consists of: a number, or a pair of bf16 in 32 bits.
pub trait Word: Copy + Send + Sync + 'static {
    const ZERO: Self;
}

/// A number that products are summed in.
pub trait Number: Word {
    fn plus(self, other: Self) -> Self;
}

macro_rules! word {
    ($T:ty, $zero:literal) => {
        impl Word for $T {
            const ZERO: $T = $zero;
        }
    };
}
word!(f32, 0.0);
word!(f64, 0.0);
word!(u32, 0);

macro_rules! number {
    ($($T:ty),*) => { $(
        impl Number for $T {
            #[inline(always)]
            fn plus(self, other: $T) -> $T {
                self + other
            }
        }
    )* };
}
number!(f32, f64);

/// Sums side by side, and how words are multiplied into them. Methods must be inlined into a function that has the
/// features of the implementation.
pub trait Lanes: Copy {
    type Word: Word;
    type Words: Copy;
    type Sum: Copy;
    const COUNT: usize;
    fn zero() -> Self;
    /// # Safety
    /// `from` points at `COUNT` readable words.
    unsafe fn load(from: *const Self::Word) -> Self::Words;
    fn splat(word: Self::Word) -> Self::Words;
    fn mul_add(self, a: Self::Words, b: Self::Words) -> Self;
    /// Writes the sums, or adds them to what is there.
    ///
    /// # Safety
    /// `to` points at `COUNT` numbers.
    unsafe fn put(self, to: *mut Self::Sum, add: bool);
    /// Asks for the cache line of an address that will be needed.
    #[inline(always)]
    fn prefetch(_: *const Self::Sum) {}
}

/// Where a tile goes: rows `stride` apart, in which sums are written or added.
#[derive(Clone, Copy)]
pub struct Target<S> {
    pub start: *mut S,
    pub stride: isize,
    pub add: bool,
}

/// Panels that fit one micro-kernel: `A` is packed `ROWS` and `B` `COLUMNS` lines wide.
#[derive(Clone, Copy)]
pub struct Kernel<W, S> {
    pub rows: usize,
    pub columns: usize,
    /// `out[i, j] = Σ a[step·rows + i] · b[step·columns + j]`, or added to it, for the first rows and all columns.
    pub run: unsafe fn(rows: usize, steps: usize, a: *const W, b: *const W, out: Target<S>),
}

/// # Safety
/// `a` and `b` hold `steps` lines of a panel, `out` has `M` rows of all columns, and the machine has what `L` needs.
#[inline(always)]
pub unsafe fn tile<L: Lanes, const M: usize, const V: usize, const ROWS: usize>(
    steps: usize,
    mut a: *const L::Word,
    mut b: *const L::Word,
    out: Target<L::Sum>,
) {
    let mut sums = [[L::zero(); V]; M];
    let at =
        |i: usize, v: usize| out.start.wrapping_offset(i as isize * out.stride).wrapping_add(v * L::COUNT);
    for i in 0..M {
        for v in 0..V {
            L::prefetch(at(i, v));
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        for _ in 0..steps {
            let mut line = [L::splat(L::Word::ZERO); V];
            for v in 0..V {
                line[v] = L::load(b.add(v * L::COUNT));
            }
            for i in 0..M {
                let x = L::splat(*a.add(i));
                for v in 0..V {
                    sums[i][v] = sums[i][v].mul_add(x, line[v]);
                }
            }
            a = a.add(ROWS);
            b = b.add(V * L::COUNT);
        }
        for (i, row) in sums.iter().enumerate() {
            for (v, sums) in row.iter().enumerate() {
                sums.put(at(i, v), out.add);
            }
        }
    }
}

/// Plain arrays; the compiler picks the instructions.
#[derive(Clone, Copy)]
pub struct Plain<S, const N: usize>([S; N]);

macro_rules! plain {
    ($($S:ty),*) => { $(
        impl<const N: usize> Lanes for Plain<$S, N> {
            type Word = $S;
            type Words = [$S; N];
            type Sum = $S;
            const COUNT: usize = N;
            #[inline(always)]
            fn zero() -> Self {
                Plain([0.0; N])
            }
            #[inline(always)]
            unsafe fn load(from: *const $S) -> [$S; N] {
                // SAFETY: the caller's promise.
                unsafe { from.cast::<[$S; N]>().read_unaligned() }
            }
            #[inline(always)]
            fn splat(word: $S) -> [$S; N] {
                [word; N]
            }
            #[inline(always)]
            fn mul_add(mut self, a: [$S; N], b: [$S; N]) -> Self {
                for i in 0..N {
                    self.0[i] = a[i].mul_add(b[i], self.0[i]);
                }
                self
            }
            #[inline(always)]
            unsafe fn put(mut self, to: *mut $S, add: bool) {
                // SAFETY: the caller's promise.
                unsafe {
                    if add {
                        let old = Self::load(to);
                        (0..N).for_each(|i| self.0[i] += old[i]);
                    }
                    to.cast::<[$S; N]>().write_unaligned(self.0);
                }
            }
        }
    )* };
}
plain!(f32, f64);

/// A function that calls `tile` with as many rows as are asked for, so that a ragged edge costs only what it has.
macro_rules! by_rows {
    ($(#[$attribute:meta])* $name:ident, $L:ty, $V:literal, $ROWS:literal, [$($M:literal)*]) => {
        $(#[$attribute])*
        pub unsafe fn $name(
            rows: usize,
            steps: usize,
            a: *const <$L as $crate::micro::Lanes>::Word,
            b: *const <$L as $crate::micro::Lanes>::Word,
            out: $crate::micro::Target<<$L as $crate::micro::Lanes>::Sum>,
        ) {
            // SAFETY: passed on from the caller, who chose a kernel that this machine can run.
            unsafe {
                match rows {
                    $($M => $crate::micro::tile::<$L, $M, $V, $ROWS>(steps, a, b, out),)*
                    _ => unreachable!("a panel has at most {} rows", $ROWS),
                }
            }
        }
    };
}
pub(crate) use by_rows;

by_rows!(plain_f32, Plain<f32, 8>, 2, 6, [1 2 3 4 5 6]);
by_rows!(plain_f64, Plain<f64, 4>, 2, 6, [1 2 3 4 5 6]);

pub const PLAIN_F32: Kernel<f32, f32> = Kernel { rows: 6, columns: 16, run: plain_f32 };
pub const PLAIN_F64: Kernel<f64, f64> = Kernel { rows: 6, columns: 8, run: plain_f64 };
