use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::angles::{self, Angles};
use crate::element::Real;
use crate::lines::{self, Running};
use crate::row;
use crate::scratch;
use crate::simd::{Slices, Vector};
use crate::view::{CallExt, Ptr, Rows, slice};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("qk_norm_rope", forward)
        .with_workspace(|inputs, _, attrs| bytes(inputs[0].as_ref(), inputs[3].is_some(), attrs, 0)),
    Kernel::new("qk_norm_rope_backward", backward).with_workspace(|inputs, _, attrs| {
        let tokens = inputs[3].as_ref().map_or(0, |qkv| qkv.shape()[0] * qkv.shape()[1]);
        let rows = 3 * tokens.div_ceil(GRADIENT_TOKENS);
        bytes(inputs[3].as_ref(), inputs[6].is_some(), attrs, rows)
    }),
];

/// Tokens whose weight gradients are summed by one task before the tasks are summed in order.
const GRADIENT_TOKENS: usize = 16;

/// The table of angles, both weights, and `rows` rows more of the size of a head.
pub(super) fn bytes(qkv: Option<&View>, has_offset: bool, attrs: &Attrs, rows: usize) -> usize {
    let Some(view) = qkv else { return 0 };
    let sizes = Sizes::of(view, attrs);
    (sizes.table(has_offset) + (2 + rows) * sizes.dim) * view.dtype.accumulator().size()
}

#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub batch: usize,
    pub tokens: usize,
    query: usize,
    pub kv: usize,
    pub dim: usize,
}

impl Sizes {
    pub fn of(qkv: &View, attrs: &Attrs) -> Sizes {
        let (query, kv) = (attrs.int("query_heads") as usize, attrs.int("kv_heads") as usize);
        let shape = qkv.shape();
        Sizes { batch: shape[0], tokens: shape[1], query, kv, dim: shape[2] / (query + 2 * kv) }
    }
    fn table(self, has_offset: bool) -> usize {
        angles::elements(self.batch, self.tokens, self.dim, has_offset)
    }
    /// Where head `h` of `heads` at token `t` starts in `[batch, heads, tokens, dim]`, in rows.
    fn row(self, b: usize, heads: usize, h: usize, t: usize) -> usize {
        (b * heads + h) * self.tokens + t
    }
}

/// The weight of queries or keys as the arithmetic holds it; `None` if they are not normalized.
fn weight<'a, R: Real>(view: Option<&View>, to: &'a mut [R]) -> Option<&'a [R]> {
    row::convert(view?, to);
    Some(to)
}

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    split(
        call,
        &Split {
            qkv: call.input(0),
            weights: [1, 2].map(|i| call.optional_input(i)),
            offset: call.optional_input(3),
            outputs: [0, 1, 2].map(|i| call.output(i)),
            rstds: [3, 4].map(|i| call.optional_output(i)),
        },
    );
    Ok(())
}

/// What is split into heads, and where queries, keys and values go; the workspace begins with the [`bytes`] for it.
pub(super) struct Split<'a> {
    pub qkv: &'a View,
    pub weights: [Option<&'a View>; 2],
    pub offset: Option<&'a View>,
    pub outputs: [&'a View; 3],
    pub rstds: [Option<&'a View>; 2],
}

pub(super) fn split(call: &KernelCall, views: &Split) {
    with_float!(views.qkv.dtype, T => split_typed::<T>(call, views));
}

fn split_typed<T: Slices>(call: &KernelCall, views: &Split) {
    let sizes = Sizes::of(views.qkv, call.attrs);
    let Sizes { batch, tokens, query, kv, dim } = sizes;
    let table = sizes.table(views.offset.is_some());
    let angles = Angles::<T::Acc>::new(call, 0, [batch, tokens, dim], views.offset);
    let q_weight = weight(views.weights[0], call.scratch::<T::Acc>(table, dim));
    let k_weight = weight(views.weights[1], call.scratch::<T::Acc>(table + dim, dim));
    let qkv = slice::<T>(views.qkv);
    let [q, k, v] = views.outputs.map(Rows::<T>::new);
    let rstds = views.rstds.map(|rstd| rstd.map(Rows::<T::Acc>::new));
    let eps = T::Acc::real(call.attrs.f64("eps"));
    let width = (query + 2 * kv) * dim;
    call.pool().run_ranges(
        batch * tokens,
        (16 * 1024 / width.max(1)).max(1),
        #[inline(always)]
        |range| {
            scratch::with(
                3 * dim,
                #[inline(always)]
                |room: &mut [T::Acc]| {
                    for token in range {
                        let (b, t) = (token / tokens, token % tokens);
                        let turn = angles.row(b, t);
                        let (queries, rest) = qkv[token * width..(token + 1) * width].split_at(query * dim);
                        let (keys, values) = rest.split_at(kv * dim);
                        for (part, weight, out, rstd, heads) in
                            [(queries, q_weight, &q, &rstds[0], query), (keys, k_weight, &k, &rstds[1], kv)]
                        {
                            for (h, x) in part.chunks_exact(dim).enumerate() {
                                let row = sizes.row(b, heads, h, t);
                                // SAFETY: every row of an output belongs to one token.
                                let out = unsafe { out.part(row * dim, dim) };
                                let scale = normalize_and_turn(x, weight, eps, turn, out, room);
                                if let Some(rstd) = rstd {
                                    // SAFETY: as above.
                                    unsafe { rstd.part(row, 1)[0] = scale };
                                }
                            }
                        }
                        for (h, x) in values.chunks_exact(dim).enumerate() {
                            // SAFETY: as above.
                            unsafe { v.part(sizes.row(b, kv, h, t) * dim, dim) }.copy_from_slice(x);
                        }
                    }
                },
            );
        },
    );
}

/// One head; returns the reciprocal of its root mean square, 1 without a weight.
#[inline(always)]
fn normalize_and_turn<T: Slices>(
    x: &[T],
    weight: Option<&[T::Acc]>,
    eps: T::Acc,
    turn: (&[T::Acc], &[T::Acc]),
    out: &mut [T],
    room: &mut [T::Acc],
) -> T::Acc {
    let (for_x, rest) = room.split_at_mut(x.len());
    let (normal, for_out) = rest.split_at_mut(x.len());
    let x = T::wide(x, for_x);
    let Some(weight) = weight else {
        T::write(
            out,
            for_out,
            #[inline(always)]
            |out| angles::turn(x, turn, T::Acc::ONE, out),
        );
        return T::Acc::ONE;
    };
    let scale = T::Acc::ONE / (lines::dot(x, x) / T::Acc::real(x.len() as f64) + eps).sqrt();
    for (normal, &x) in normal.iter_mut().zip(x) {
        *normal = x * scale;
    }
    // The definition rounds to the input's dtype before the weight.
    T::round(normal);
    for (normal, &weight) in normal.iter_mut().zip(weight) {
        *normal = *normal * weight;
    }
    T::write(
        out,
        for_out,
        #[inline(always)]
        |out| angles::turn(normal, turn, T::Acc::ONE, out),
    );
    scale
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(3).dtype, T => backward_typed::<T>(call));
    Ok(())
}

fn backward_typed<T: Slices>(call: &KernelCall) {
    let sizes = Sizes::of(call.input(3), call.attrs);
    let Sizes { batch, tokens, query, kv, dim } = sizes;
    let table = sizes.table(call.optional_input(6).is_some());
    let angles = Angles::<T::Acc>::new(call, 0, [batch, tokens, dim], call.optional_input(6));
    let weights = [
        weight(call.optional_input(4), call.scratch::<T::Acc>(table, dim)),
        weight(call.optional_input(5), call.scratch::<T::Acc>(table + dim, dim)),
    ];
    let blocks = (batch * tokens).div_ceil(GRADIENT_TOKENS);
    let partial = call.scratch::<T::Acc>(table + 2 * dim, 3 * blocks * dim);
    let sums = Ptr::of(partial);
    let [dq, dk, dv, qkv] = [0, 1, 2, 3].map(|i| slice::<T>(call.input(i)));
    let rstds = [7, 8].map(|i| slice::<T::Acc>(call.input(i)));
    let dqkv = call.optional_output(0).map(Rows::<T>::new);
    let width = (query + 2 * kv) * dim;
    call.pool().run(
        blocks,
        #[inline(always)]
        |block| {
            // SAFETY: every block has its own three rows.
            let own = unsafe { sums.slice_mut(3 * block * dim, 3 * dim) };
            own.fill(T::Acc::ZERO);
            let (dweights, turned) = own.split_at_mut(2 * dim);
            scratch::with(
                3 * dim,
                #[inline(always)]
                |room: &mut [T::Acc]| {
                    let (for_x, rest) = room.split_at_mut(dim);
                    let (for_grad, for_out) = rest.split_at_mut(dim);
                    for token in block * GRADIENT_TOKENS..((block + 1) * GRADIENT_TOKENS).min(batch * tokens)
                    {
                        let (b, t) = (token / tokens, token % tokens);
                        let turn = angles.row(b, t);
                        // SAFETY: every token belongs to one block.
                        let mut out = dqkv.as_ref().map(|dqkv| unsafe { dqkv.part(token * width, width) });
                        for (part, grad, first, heads) in [(0, dq, 0, query), (1, dk, query, kv)] {
                            let dweight = &mut dweights[part * dim..(part + 1) * dim];
                            for h in 0..heads {
                                let row = sizes.row(b, heads, h, t);
                                let own = (first + h) * dim..(first + h + 1) * dim;
                                let x = T::wide(&qkv[token * width..(token + 1) * width][own.clone()], for_x);
                                let grad = T::wide(&grad[row * dim..(row + 1) * dim], for_grad);
                                angles::turn(grad, turn, -T::Acc::ONE, turned);
                                let (weight, rstd) = (weights[part], rstds[part][row]);
                                match &mut out {
                                    Some(out) => T::write(
                                        &mut out[own],
                                        for_out,
                                        #[inline(always)]
                                        |out| {
                                            denormalize(turned, x, weight, rstd, dweight, Some(out));
                                        },
                                    ),
                                    None => denormalize(turned, x, weight, rstd, dweight, None),
                                }
                            }
                        }
                        if let Some(out) = &mut out {
                            for h in 0..kv {
                                let row = sizes.row(b, kv, h, t);
                                out[(query + kv + h) * dim..(query + kv + h + 1) * dim]
                                    .copy_from_slice(&dv[row * dim..(row + 1) * dim]);
                            }
                        }
                    }
                },
            );
        },
    );
    for (position, part) in [(1, 0), (2, dim)] {
        if let Some(out) = call.optional_output(position) {
            row::sum_rows(call.pool(), partial, part..part + dim, 3 * dim, out);
        }
    }
}

/// With `x̂ = x · rstd` and `g = grad · weight`: `dx = rstd · (g − x̂ · mean(g · x̂))`, `dweight += grad · x̂`.
#[inline(always)]
fn denormalize<R: Real>(
    grad: &[R],
    x: &[R],
    weight: Option<&[R]>,
    rstd: R,
    dweight: &mut [R],
    dx: Option<&mut [R]>,
) {
    let Some(weight) = weight else {
        if let Some(dx) = dx {
            dx.copy_from_slice(grad);
        }
        return;
    };
    for ((dweight, &g), &x) in dweight.iter_mut().zip(grad).zip(x) {
        *dweight += g * (x * rstd);
    }
    if let Some(dx) = dx {
        let mut dot = Running::new(R::ZERO);
        dot.take(
            [grad, weight, x],
            R::ZERO,
            #[inline(always)]
            |dot, [g, w, x]| g.times(w).mul_add(x, dot),
        );
        let mean = dot.sum() * rstd / R::real(x.len() as f64);
        for (((dx, &g), &x), &w) in dx.iter_mut().zip(grad).zip(x).zip(weight) {
            *dx = rstd * (g * w - x * rstd * mean);
        }
    }
}
