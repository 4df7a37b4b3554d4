//! All ops of the form `y[i] = f(a[i], …)`: one line each.

use elm_core::{DType, Kernel, KernelCall, KernelError, View};

use crate::element::{Bool, Element, Float, Real};
use crate::nd::Walk;
use crate::view::{CallExt, ptr};
use crate::with_element;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("add", |call| arithmetic(call, Add)).strided(),
    Kernel::new("sub", |call| arithmetic(call, Sub)).strided(),
    Kernel::new("mul", |call| arithmetic(call, Mul)).strided(),
    Kernel::new("cast", cast).strided(),
];

/// A binary function in every numeric type; floats are computed in their accumulator.
trait Arithmetic: Copy + Sync {
    fn real<R: Real>(self, a: R, b: R) -> R;
    fn int(self, a: i64, b: i64) -> i64;
}

macro_rules! arithmetic {
    ($($name:ident: $real:expr, $int:expr;)*) => { $(
        #[derive(Clone, Copy)]
        struct $name;
        impl Arithmetic for $name {
            #[inline(always)]
            fn real<R: Real>(self, a: R, b: R) -> R { let f: fn(R, R) -> R = $real; f(a, b) }
            #[inline(always)]
            fn int(self, a: i64, b: i64) -> i64 { let f: fn(i64, i64) -> i64 = $int; f(a, b) }
        }
    )* };
}

arithmetic! {
    Add: |a, b| a + b, |a, b| a.wrapping_add(b);
    Sub: |a, b| a - b, |a, b| a.wrapping_sub(b);
    Mul: |a, b| a * b, |a, b| a.wrapping_mul(b);
}

fn arithmetic(call: &KernelCall, f: impl Arithmetic) -> Result<(), KernelError> {
    macro_rules! float {
        ($t:ty) => {
            map2::<$t, $t, $t>(call, |a, b| <$t as Float>::store(f.real(a.load(), b.load())))
        };
    }
    match call.input(0).dtype {
        DType::F32 => float!(f32),
        DType::F64 => float!(f64),
        DType::BF16 => float!(elm_core::bf16),
        DType::F16 => float!(elm_core::f16),
        DType::Bool => map2::<Bool, Bool, Bool>(call, |a, b| Bool::from_i64(f.int(a.to_i64(), b.to_i64()))),
        other => {
            with_element!(other, T => map2::<T, T, T>(call, |a, b| T::from_i64(f.int(a.to_i64(), b.to_i64()))))
        }
    }
    Ok(())
}

/// Writes `f(a, b)` over the broadcast shape. Unit steps get a loop of their own, which vectorizes.
fn map2<A: Element, B: Element, Y: Element>(call: &KernelCall, f: impl Fn(A, B) -> Y + Sync) {
    let y = call.output(0);
    let (left, right) = (broadcast(call.input(0), y), broadcast(call.input(1), y));
    let walk = Walk::new([&y.layout, &left.layout, &right.layout]);
    let (out, a, b) = (ptr::<Y>(y), ptr::<A>(&left), ptr::<B>(&right));
    let steps = walk.steps;
    walk.run(call.pool(), |[y, i, j], len| {
        // SAFETY: the walk stays inside the views; output elements are visited once.
        unsafe {
            match steps {
                [1, 1, 1] => {
                    let out = out.moved(y).slice_mut(0, len);
                    let (a, b) = (a.moved(i).slice(0, len), b.moved(j).slice(0, len));
                    out.iter_mut().zip(a).zip(b).for_each(|((y, &a), &b)| *y = f(a, b));
                }
                [1, 1, 0] => {
                    let b = b.read(j);
                    let (out, a) = (out.moved(y).slice_mut(0, len), a.moved(i).slice(0, len));
                    out.iter_mut().zip(a).for_each(|(y, &a)| *y = f(a, b));
                }
                [dy, da, db] => {
                    for n in 0..len as isize {
                        out.write(y + n * dy, f(a.read(i + n * da), b.read(j + n * db)));
                    }
                }
            }
        }
    });
}

/// Writes `f(x)` elementwise.
fn map1<A: Element, Y: Element>(call: &KernelCall, f: impl Fn(A) -> Y + Sync) {
    let (x, y) = (call.input(0), call.output(0));
    let walk = Walk::new([&y.layout, &x.layout]);
    let (out, a) = (ptr::<Y>(y), ptr::<A>(x));
    let steps = walk.steps;
    walk.run(call.pool(), |[y, i], len| {
        // SAFETY: the walk stays inside the views; output elements are visited once.
        unsafe {
            if steps == [1, 1] {
                let (out, a) = (out.moved(y).slice_mut(0, len), a.moved(i).slice(0, len));
                out.iter_mut().zip(a).for_each(|(y, &a)| *y = f(a));
            } else {
                for n in 0..len as isize {
                    out.write(y + n * steps[0], f(a.read(i + n * steps[1])));
                }
            }
        }
    });
}

fn broadcast(from: &View, to: &View) -> View {
    let layout = from.layout.broadcast_to(to.shape()).expect("the shape rule has checked it");
    View { layout, ..from.clone() }
}

/// Floats go through f32 or f64 as they are; floats to integers cut towards zero and saturate; NaN becomes 0.
fn cast(call: &KernelCall) -> Result<(), KernelError> {
    let (from, to) = (call.input(0).dtype, call.output(0).dtype);
    with_element!(from, A => with_element!(to, B => {
        if from.is_float() || to.is_float() {
            map1::<A, B>(call, |x| B::from_f64(x.to_f64()));
        } else {
            map1::<A, B>(call, |x| B::from_i64(x.to_i64()));
        }
    }));
    Ok(())
}
