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

/// Where a micro-kernel reads a matrix: word `[line, step]` at `start + line·line_bytes + step·step_bytes`. It is a
/// packed panel, or the matrix as it lies.
pub struct Source<W> {
    pub start: *const W,
    pub line_bytes: isize,
    pub step_bytes: isize,
}

impl<W> Clone for Source<W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W> Copy for Source<W> {}

impl<W> Source<W> {
    /// A packed panel of `width` lines.
    pub fn panel(start: *const W, width: usize) -> Source<W> {
        let word = size_of::<W>() as isize;
        Source { start, line_bytes: word, step_bytes: word * width as isize }
    }

    /// The same place as words of another kind; who reads them vouches for that.
    pub fn cast<U>(self) -> Source<U> {
        Source { start: self.start.cast(), line_bytes: self.line_bytes, step_bytes: self.step_bytes }
    }

    #[inline(always)]
    pub fn at(self, line: usize, step: usize) -> Source<W> {
        let bytes = line as isize * self.line_bytes + step as isize * self.step_bytes;
        Source { start: self.start.wrapping_byte_offset(bytes), ..self }
    }
}

/// A micro-kernel: tiles of up to `rows` rows and `columns` columns, which are also the widths of packed panels.
#[derive(Clone, Copy)]
pub struct Kernel<W, S> {
    pub rows: usize,
    pub columns: usize,
    /// Columns are computed in multiples of these.
    pub lanes: usize,
    /// `out[i, j] = Σ a[i, step] · b[j, step]`, or added to it, for `size = [rows, columns]`; columns are rounded up to
    /// whole lanes. Lines of `b` lie behind each other.
    pub run: unsafe fn(size: [usize; 2], steps: usize, a: Source<W>, b: Source<W>, out: Target<S>),
}

/// # Safety
/// `a` has `M` lines and `b` as many as `V` vectors hold, each of `steps` words, `out` has `M` rows of those columns,
/// and the machine has what `L` needs.
#[inline(always)]
pub unsafe fn tile<L: Lanes, const M: usize, const V: usize>(
    steps: usize,
    a: Source<L::Word>,
    b: Source<L::Word>,
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
    let (mut left, mut right) = (a.start, b.start);
    // SAFETY: the caller's promise.
    unsafe {
        for _ in 0..steps {
            let mut line = [L::splat(L::Word::ZERO); V];
            for v in 0..V {
                line[v] = L::load(right.add(v * L::COUNT));
            }
            let mut word = left;
            for i in 0..M {
                let x = L::splat(word.read_unaligned());
                word = word.wrapping_byte_offset(a.line_bytes);
                for v in 0..V {
                    sums[i][v] = sums[i][v].mul_add(x, line[v]);
                }
            }
            left = left.wrapping_byte_offset(a.step_bytes);
            right = right.wrapping_byte_offset(b.step_bytes);
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

/// A function that calls `tile` with as many rows and vectors as are asked for, so that a ragged edge costs only what
/// it has.
macro_rules! by_size {
    ($(#[$attribute:meta])* $name:ident, $L:ty, [$($M:literal)*]) => {
        $(#[$attribute])*
        pub unsafe fn $name(
            [rows, columns]: [usize; 2],
            steps: usize,
            a: $crate::micro::Source<<$L as $crate::micro::Lanes>::Word>,
            b: $crate::micro::Source<<$L as $crate::micro::Lanes>::Word>,
            out: $crate::micro::Target<<$L as $crate::micro::Lanes>::Sum>,
        ) {
            let is_wide = columns > <$L as $crate::micro::Lanes>::COUNT;
            // SAFETY: passed on from the caller, who chose a kernel that this machine can run.
            unsafe {
                match (rows, is_wide) {
                    $(
                        ($M, true) => $crate::micro::tile::<$L, $M, 2>(steps, a, b, out),
                        ($M, false) => $crate::micro::tile::<$L, $M, 1>(steps, a, b, out),
                    )*
                    _ => unreachable!("a tile has no more rows than its kernel"),
                }
            }
        }
    };
}
pub(crate) use by_size;

by_size!(plain_f32, Plain<f32, 8>, [1 2 3 4 5 6]);
by_size!(plain_f64, Plain<f64, 4>, [1 2 3 4 5 6]);

pub const PLAIN_F32: Kernel<f32, f32> = Kernel { rows: 6, columns: 16, lanes: 8, run: plain_f32 };
pub const PLAIN_F64: Kernel<f64, f64> = Kernel { rows: 6, columns: 8, lanes: 4, run: plain_f64 };
