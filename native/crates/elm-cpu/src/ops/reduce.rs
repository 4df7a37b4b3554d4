//! Kernels of the reductions over any set of axes.

use elm_core::{Kernel, KernelCall, KernelError};

use crate::element::{Bool, Element, Float, Ordered, Real, is_nan};
use crate::fold::{Fold, fold};
use crate::view::{CallExt, Ptr, ptr};
use crate::{with_element, with_float};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("sum", |call| sum(call, Add)).strided(),
    Kernel::new("prod", |call| sum(call, Multiply)).strided(),
    Kernel::new("mean", mean).strided(),
    Kernel::new("max", |call| extreme(call, Largest)).strided(),
    Kernel::new("min", |call| extreme(call, Smallest)).strided(),
    Kernel::new("any", any).strided(),
    Kernel::new("all", all).strided(),
    Kernel::new("logsumexp", logsumexp).strided(),
];

/// A fold without parameters out of closures.
struct Simple<In, Acc, Load, Step, Join, Finish> {
    start: Acc,
    load: Load,
    step: Step,
    join: Join,
    finish: Finish,
    input: std::marker::PhantomData<fn(In)>,
}

impl<In, Loaded, Acc, Load, Step, Join, Finish> Fold for Simple<In, Acc, Load, Step, Join, Finish>
where
    In: Copy + Send + Sync,
    Acc: Copy + Send + Sync,
    Loaded: Copy,
    Load: Fn(In) -> Loaded + Sync,
    Step: Fn(Acc, Loaded) -> Acc + Sync,
    Join: Fn(Acc, Acc) -> Acc + Sync,
    Finish: Fn(usize, Acc) + Sync,
{
    type In = In;
    type Loaded = Loaded;
    type Acc = Acc;
    type Param = ();
    #[inline(always)]
    fn param(&self, _: usize) {}
    #[inline(always)]
    fn start(&self) -> Acc {
        self.start
    }
    #[inline(always)]
    fn load(&self, x: In) -> Loaded {
        (self.load)(x)
    }
    #[inline(always)]
    fn step(&self, acc: Acc, x: Loaded, (): ()) -> Acc {
        (self.step)(acc, x)
    }
    #[inline(always)]
    fn join(&self, a: Acc, b: Acc) -> Acc {
        (self.join)(a, b)
    }
    #[inline(always)]
    fn finish(&self, output: usize, acc: Acc) {
        (self.finish)(output, acc);
    }
}

/// Folds the axes of the call; `finish` gives the element of the output.
fn reduce<In: Element, Loaded: Copy, Acc: Copy + Send + Sync, Out: Element>(
    call: &KernelCall,
    start: Acc,
    load: impl Fn(In) -> Loaded + Sync,
    step: impl Fn(Acc, Loaded) -> Acc + Sync,
    join: impl Fn(Acc, Acc) -> Acc + Sync,
    finish: impl Fn(Acc) -> Out + Sync,
) {
    let out = ptr::<Out>(call.output(0));
    // SAFETY: a fold finishes every output once, and positions lie inside the row-major output.
    let finish = |output: usize, acc| unsafe { out.write(output as isize, finish(acc)) };
    fold(
        call.pool(),
        call.input(0),
        &mask(call),
        &Simple { start, load, step, join, finish, input: std::marker::PhantomData },
    );
}

fn mask(call: &KernelCall) -> smallvec::SmallVec<[bool; 8]> {
    call.attrs.axes("axis", call.input(0).shape().len())
}

/// Addition or multiplication with what changes nothing.
trait Group: Copy + Sync {
    const NEUTRAL: i64;
    fn real<R: Real>(self, a: R, b: R) -> R;
    fn int(self, a: i64, b: i64) -> i64;
}

#[derive(Clone, Copy)]
struct Add;
impl Group for Add {
    const NEUTRAL: i64 = 0;
    #[inline(always)]
    fn real<R: Real>(self, a: R, b: R) -> R {
        a + b
    }
    #[inline(always)]
    fn int(self, a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }
}

#[derive(Clone, Copy)]
struct Multiply;
impl Group for Multiply {
    const NEUTRAL: i64 = 1;
    #[inline(always)]
    fn real<R: Real>(self, a: R, b: R) -> R {
        a * b
    }
    #[inline(always)]
    fn int(self, a: i64, b: i64) -> i64 {
        a.wrapping_mul(b)
    }
}

fn sum<G: Group>(call: &KernelCall, group: G) -> Result<(), KernelError> {
    let dtype = call.input(0).dtype;
    if dtype.is_float() {
        with_float!(dtype, T => floats::<T, G>(call, group, |acc| acc));
    } else {
        with_element!(dtype, T => {
            let add = |a: i64, b: i64| group.int(a, b);
            reduce::<T, i64, i64, i64>(call, G::NEUTRAL, T::to_i64, add, add, |acc| acc);
        });
    }
    Ok(())
}

fn floats<T: Float, G: Group>(call: &KernelCall, group: G, finish: impl Fn(T::Acc) -> T::Acc + Sync) {
    let start = T::Acc::real(G::NEUTRAL as f64);
    let add = |a: T::Acc, b: T::Acc| group.real(a, b);
    reduce::<T, T::Acc, T::Acc, T>(call, start, T::load, add, add, |acc| T::store(finish(acc)));
}

fn mean(call: &KernelCall) -> Result<(), KernelError> {
    let axes = call.input(0).shape().iter().zip(mask(call));
    let count: usize = axes.map(|(&dim, reduced)| if reduced { dim } else { 1 }).product();
    with_float!(call.input(0).dtype, T => {
        let count = <T as Float>::Acc::real(count as f64);
        floats::<T, Add>(call, Add, |sum| sum / count);
    });
    Ok(())
}

trait Extreme: Copy + Sync {
    fn start<T: Ordered>(self) -> T::Key;
    /// Whether `a` goes before `b`; neither is asked about NaN.
    fn before<K: PartialOrd>(self, a: K, b: K) -> bool;
}

#[derive(Clone, Copy)]
struct Largest;
impl Extreme for Largest {
    fn start<T: Ordered>(self) -> T::Key {
        T::LEAST
    }
    #[inline(always)]
    fn before<K: PartialOrd>(self, a: K, b: K) -> bool {
        a > b
    }
}

#[derive(Clone, Copy)]
struct Smallest;
impl Extreme for Smallest {
    fn start<T: Ordered>(self) -> T::Key {
        T::GREATEST
    }
    #[inline(always)]
    fn before<K: PartialOrd>(self, a: K, b: K) -> bool {
        a < b
    }
}

fn extreme(call: &KernelCall, which: impl Extreme) -> Result<(), KernelError> {
    with_element!(call.input(0).dtype, T => {
        type Key = <T as Ordered>::Key;
        let pick = |held, x| pick(which, held, x);
        reduce::<T, Key, Key, T>(call, which.start::<T>(), T::key, pick, pick, T::of);
    });
    Ok(())
}

/// NaN stays once it is held: nothing goes before it.
#[inline(always)]
fn pick<K: PartialOrd + Copy>(which: impl Extreme, held: K, x: K) -> K {
    let first = if which.before(x, held) { x } else { held };
    if is_nan(x) { x } else { first }
}

fn any(call: &KernelCall) -> Result<(), KernelError> {
    with_element!(call.input(0).dtype, T => {
        let zero = T::from_i64(0).key();
        let holds = |x: T| x.key() != zero;
        reduce::<T, bool, bool, Bool>(call, false, holds, |a, b| a | b, |a, b| a | b, Bool::new);
    });
    Ok(())
}

fn all(call: &KernelCall) -> Result<(), KernelError> {
    with_element!(call.input(0).dtype, T => {
        let zero = T::from_i64(0).key();
        let holds = |x: T| x.key() != zero;
        reduce::<T, bool, bool, Bool>(call, true, holds, |a, b| a & b, |a, b| a & b, Bool::new);
    });
    Ok(())
}

/// `Σ e^(x − shift)`, where the shift of each output is known.
struct Exponentials<T: Float> {
    shifts: Ptr<T::Acc>,
    out: Ptr<T>,
}

impl<T: Float> Fold for Exponentials<T> {
    type In = T;
    type Loaded = T::Acc;
    type Acc = T::Acc;
    type Param = T::Acc;
    #[inline(always)]
    fn param(&self, output: usize) -> T::Acc {
        // SAFETY: there is a shift for every output, and nobody writes them any more.
        unsafe { self.shifts.read(output as isize) }
    }
    #[inline(always)]
    fn start(&self) -> T::Acc {
        T::Acc::ZERO
    }
    #[inline(always)]
    fn load(&self, x: T) -> T::Acc {
        x.load()
    }
    #[inline(always)]
    fn step(&self, sum: T::Acc, x: T::Acc, shift: T::Acc) -> T::Acc {
        sum + (x - shift).exp()
    }
    #[inline(always)]
    fn join(&self, a: T::Acc, b: T::Acc) -> T::Acc {
        a + b
    }
    #[inline(always)]
    fn finish(&self, output: usize, sum: T::Acc) {
        // SAFETY: every output is finished once.
        unsafe { self.out.write(output as isize, T::store(self.param(output) + sum.ln())) };
    }
}

/// The largest element is found first and taken out of the exponents; where it is infinite or NaN nothing is, and
/// the sum of the exponentials is already right.
fn logsumexp(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => {
        type Acc = <T as Float>::Acc;
        let mut shifts = vec![Acc::ZERO; call.output(0).elements()];
        let shared = Ptr::of(&mut shifts);
        let largest = Simple {
            start: -Acc::INFINITY,
            load: |x: T| Float::load(x),
            step: |held: Acc, x: Acc| pick(Largest, held, x),
            join: |a: Acc, b: Acc| pick(Largest, a, b),
            finish: |output: usize, held: Acc| {
                // SAFETY: every output is finished once.
                unsafe { shared.write(output as isize, if held.is_finite() { held } else { 0.0 }) }
            },
            input: std::marker::PhantomData,
        };
        fold(call.pool(), call.input(0), &mask(call), &largest);
        let sums = Exponentials::<T> { shifts: shared, out: ptr(call.output(0)) };
        fold(call.pool(), call.input(0), &mask(call), &sums);
    });
    Ok(())
}
