//! Elementwise loops over one, two or three operands of any layouts.

use std::borrow::Cow;

use elm_core::{KernelCall, View};

use crate::element::{Element, Real};
use crate::nd::Walk;
use crate::simd::Slices;
use crate::stream_store::Stores;
use crate::view::{CallExt, ptr};

/// `from` repeated to the shape of `to`, which the shape rule has checked.
#[inline]
pub fn broadcast<'a>(from: &'a View, to: &View) -> Cow<'a, View> {
    if from.shape() == to.shape() {
        return Cow::Borrowed(from);
    }
    let layout = from.layout.broadcast_to(to.shape()).expect("the shape rule has checked it");
    Cow::Owned(View { base: from.base, dtype: from.dtype, layout })
}

/// Writes `f(x)` elementwise to output 0. Unit steps get a loop of their own, which vectorizes.
pub fn map1<A: Element, Y: Element>(call: &KernelCall, f: impl Fn(A) -> Y + Sync) {
    let (x, y) = (call.input(0), call.output(0));
    let walk = Walk::new([&y.layout, &x.layout]);
    let (out, a) = (ptr::<Y>(y), ptr::<A>(x));
    let (steps, stores) = (walk.steps, Stores::of(y));
    walk.run(
        call.pool(),
        #[inline(always)]
        |[y, i], len| {
            // SAFETY: the walk stays inside the views; output elements are visited once.
            unsafe {
                if steps == [1, 1] {
                    let (out, a) = (out.moved(y).slice_mut(0, len), a.moved(i).slice(0, len));
                    stores.fill(
                        out,
                        #[inline(always)]
                        |at, out| {
                            for (y, &a) in out.iter_mut().zip(&a[at]) {
                                *y = f(a);
                            }
                        },
                    );
                } else {
                    for n in 0..len as isize {
                        out.write(y + n * steps[0], f(a.read(i + n * steps[1])));
                    }
                }
            }
        },
    );
}

/// Writes `f(x)` elementwise to output 0, by whole slices with `slices` where the elements lie together.
pub fn map_slices<A: Element, Y: Element>(
    call: &KernelCall,
    slices: impl Fn(&[A], &mut [Y]) + Sync,
    f: impl Fn(A) -> Y + Sync,
) {
    let (x, y) = (call.input(0), call.output(0));
    let walk = Walk::new([&y.layout, &x.layout]);
    if walk.steps != [1, 1] {
        return map1::<A, Y>(call, f);
    }
    let (out, a, stores) = (ptr::<Y>(y), ptr::<A>(x), Stores::of(y));
    walk.run(
        call.pool(),
        #[inline(always)]
        |[y, i], len| {
            // SAFETY: the walk stays inside the views; output elements are visited once.
            let (out, a) = unsafe { (out.moved(y).slice_mut(0, len), a.moved(i).slice(0, len)) };
            stores.fill(
                out,
                #[inline(always)]
                |at, out| slices(&a[at], out),
            );
        },
    );
}

/// Elements that [`map_real`] converts together.
const BLOCK: usize = 64;

/// Writes `f(x)` elementwise, computed in the accumulator's type.
///
/// Half precision goes through a block of f32: conversion and a long function in one loop are more than the compiler
/// vectorizes.
pub fn map_real<T: Slices>(call: &KernelCall, f: impl Fn(T::Acc) -> T::Acc + Sync) {
    let (x, y) = (call.input(0), call.output(0));
    let walk = Walk::new([&y.layout, &x.layout]);
    if size_of::<T>() == size_of::<T::Acc>() || walk.steps != [1, 1] {
        return map1::<T, T>(
            call,
            #[inline(always)]
            |x| T::store(f(x.load())),
        );
    }
    let (out, a, stores) = (ptr::<T>(y), ptr::<T>(x), Stores::of(y));
    walk.run(
        call.pool(),
        #[inline(always)]
        |[y, i], len| {
            // SAFETY: the walk stays inside the views; output elements are visited once.
            let (out, a) = unsafe { (out.moved(y).slice_mut(0, len), a.moved(i).slice(0, len)) };
            let mut block = [T::Acc::ZERO; BLOCK];
            stores.fill(
                out,
                #[inline(always)]
                |at, out| {
                    for (out, a) in out.chunks_mut(BLOCK).zip(a[at].chunks(BLOCK)) {
                        let block = &mut block[..a.len()];
                        T::widen(a, block);
                        for slot in block.iter_mut() {
                            *slot = f(*slot);
                        }
                        T::narrow(block, out);
                    }
                },
            );
        },
    );
}

/// Writes `f(a, b)` over the broadcast shape to output 0.
pub fn map2<A: Element, B: Element, Y: Element>(call: &KernelCall, f: impl Fn(A, B) -> Y + Sync) {
    let y = call.output(0);
    let (left, right) = (broadcast(call.input(0), y), broadcast(call.input(1), y));
    let walk = Walk::new([&y.layout, &left.layout, &right.layout]);
    let (out, a, b) = (ptr::<Y>(y), ptr::<A>(&left), ptr::<B>(&right));
    let (steps, stores) = (walk.steps, Stores::of(y));
    walk.run(
        call.pool(),
        #[inline(always)]
        |[y, i, j], len| {
            // SAFETY: the walk stays inside the views; output elements are visited once.
            unsafe {
                match steps {
                    [1, 1, 1] => {
                        let out = out.moved(y).slice_mut(0, len);
                        let (a, b) = (a.moved(i).slice(0, len), b.moved(j).slice(0, len));
                        stores.fill(
                            out,
                            #[inline(always)]
                            |at, out| {
                                for ((y, &a), &b) in out.iter_mut().zip(&a[at.clone()]).zip(&b[at]) {
                                    *y = f(a, b);
                                }
                            },
                        );
                    }
                    [1, 1, 0] => {
                        let b = b.read(j);
                        let (out, a) = (out.moved(y).slice_mut(0, len), a.moved(i).slice(0, len));
                        stores.fill(
                            out,
                            #[inline(always)]
                            |at, out| {
                                for (y, &a) in out.iter_mut().zip(&a[at]) {
                                    *y = f(a, b);
                                }
                            },
                        );
                    }
                    [1, 0, 1] => {
                        let a = a.read(i);
                        let (out, b) = (out.moved(y).slice_mut(0, len), b.moved(j).slice(0, len));
                        stores.fill(
                            out,
                            #[inline(always)]
                            |at, out| {
                                for (y, &b) in out.iter_mut().zip(&b[at]) {
                                    *y = f(a, b);
                                }
                            },
                        );
                    }
                    [dy, da, db] => {
                        for n in 0..len as isize {
                            out.write(y + n * dy, f(a.read(i + n * da), b.read(j + n * db)));
                        }
                    }
                }
            }
        },
    );
}

/// Writes `f(a, b, c)` over the broadcast shape to output 0. Single values stand still in the fast loops too.
pub fn map3<A: Copy + Send, B: Copy + Send, C: Copy + Send, Y: Copy + Send>(
    call: &KernelCall,
    f: impl Fn(A, B, C) -> Y + Sync,
) {
    let y = call.output(0);
    let inputs: [Cow<View>; 3] = std::array::from_fn(|i| broadcast(call.input(i), y));
    let walk = Walk::new([&y.layout, &inputs[0].layout, &inputs[1].layout, &inputs[2].layout]);
    let (out, a, b, c) = (ptr::<Y>(y), ptr::<A>(&inputs[0]), ptr::<B>(&inputs[1]), ptr::<C>(&inputs[2]));
    let (steps, stores) = (walk.steps, Stores::of(y));
    walk.run(
        call.pool(),
        #[inline(always)]
        |[y, i, j, k], len| {
            // SAFETY: the walk stays inside the views; output elements are visited once.
            unsafe {
                if steps[0] == 1 && steps[1] == 1 && steps[2..].iter().all(|step| (0..=1).contains(step)) {
                    let (out, a) = (out.moved(y).slice_mut(0, len), a.moved(i).slice(0, len));
                    match (steps[2], steps[3]) {
                        (1, 1) => {
                            let (b, c) = (b.moved(j).slice(0, len), c.moved(k).slice(0, len));
                            stores.fill(
                                out,
                                #[inline(always)]
                                |at, out| {
                                    for (((y, &a), &b), &c) in
                                        out.iter_mut().zip(&a[at.clone()]).zip(&b[at.clone()]).zip(&c[at])
                                    {
                                        *y = f(a, b, c);
                                    }
                                },
                            );
                        }
                        (1, _) => {
                            let (b, c) = (b.moved(j).slice(0, len), c.read(k));
                            stores.fill(
                                out,
                                #[inline(always)]
                                |at, out| {
                                    for ((y, &a), &b) in out.iter_mut().zip(&a[at.clone()]).zip(&b[at]) {
                                        *y = f(a, b, c);
                                    }
                                },
                            );
                        }
                        (_, 1) => {
                            let (b, c) = (b.read(j), c.moved(k).slice(0, len));
                            stores.fill(
                                out,
                                #[inline(always)]
                                |at, out| {
                                    for ((y, &a), &c) in out.iter_mut().zip(&a[at.clone()]).zip(&c[at]) {
                                        *y = f(a, b, c);
                                    }
                                },
                            );
                        }
                        _ => {
                            let (b, c) = (b.read(j), c.read(k));
                            stores.fill(
                                out,
                                #[inline(always)]
                                |at, out| {
                                    for (y, &a) in out.iter_mut().zip(&a[at]) {
                                        *y = f(a, b, c);
                                    }
                                },
                            );
                        }
                    }
                } else {
                    let [dy, da, db, dc] = steps;
                    for n in 0..len as isize {
                        let value = f(a.read(i + n * da), b.read(j + n * db), c.read(k + n * dc));
                        out.write(y + n * dy, value);
                    }
                }
            }
        },
    );
}
