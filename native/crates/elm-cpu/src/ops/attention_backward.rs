use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::element::{Element, Float, Real};
use crate::flash::{KEYS, Problem, QUERIES, QueryBlock, lanes, lanes2, mask_bytes, widen};
use crate::row::sum2;
use crate::scratch::{self, aligned};
use crate::small_product::{Heads, Strided, multiply};
use crate::view::{CallExt, Ptr, Rows, ptr};
use crate::with_float;

pub static KERNELS: &[Kernel] =
    &[Kernel::new("attention_backward", run).strided().with_cost(cost).with_workspace(workspace)];

/// With fewer kv heads than this in a call, each query head is a task of its own and sums its `dk` and `dv` apart.
/// More tasks keep more threads busy; the sums cost memory. The split depends on the shape alone.
const ENOUGH_TASKS: usize = 16;

/// Five products of about 20 multiply-adds a nanosecond on one core.
fn cost(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> u64 {
    let (Some(q), Some(k)) = (&inputs[1], &inputs[2]) else { return 0 };
    (q.elements() * k.shape()[2] / 4) as u64
}

/// Tasks that share one kv head.
fn parts(batch: usize, heads: usize, kv_heads: usize) -> usize {
    if batch * kv_heads < ENOUGH_TASKS { heads / kv_heads } else { 1 }
}

/// Whether tasks can sum where the result belongs: alone with it, and in its dtype.
fn in_place(parts: usize, k: &View) -> bool {
    parts == 1 && k.dtype == k.dtype.accumulator()
}

/// Sums of `dk` and of `dv` for each task, behind the masks.
fn workspace(inputs: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> usize {
    let (Some(q), Some(k)) = (&inputs[1], &inputs[2]) else { return 0 };
    let parts = parts(q.shape()[0], q.shape()[1], k.shape()[1]);
    let wanted = outputs[1..].iter().flatten().count();
    let sums = if in_place(parts, k) { 0 } else { wanted * parts * k.elements() };
    mask_bytes(inputs, 6) + sums * k.dtype.accumulator().size()
}

fn run(call: &KernelCall) -> Result<(), KernelError> {
    let problem = Problem::new(call, 1, 6)?;
    with_float!(call.input(1).dtype, T => backward::<T>(call, &problem));
    Ok(())
}

fn backward<T: Float>(call: &KernelCall, problem: &Problem)
where
    T::Acc: Float<Acc = T::Acc>,
{
    let parts = parts(problem.batch, problem.heads, problem.kv_heads);
    let tasks = problem.batch * problem.kv_heads * parts;
    let size = problem.keys * problem.dim;
    let in_place = in_place(parts, call.input(2));
    let mut start = mask_bytes(call.inputs, 6) / size_of::<T::Acc>();
    let [dk, dv] = [1, 2].map(|position| {
        let view = call.optional_output(position)?;
        if in_place {
            return Some(ptr::<T::Acc>(view));
        }
        start += tasks * size;
        Some(Ptr::of(call.scratch::<T::Acc>(start - tasks * size, tasks * size)))
    });
    let job = Job::<T> {
        problem,
        parts,
        grad: Heads::of(call.input(0)),
        q: Heads::of(call.input(1)),
        k: Heads::of(call.input(2)),
        v: Heads::of(call.input(3)),
        y: Heads::of(call.input(4)),
        lse: Heads::of_numbers(call.input(5)),
        dq: call.optional_output(0).map(Rows::new),
        dk,
        dv,
    };
    call.pool().run(tasks, |task| job.run(task));
    if !in_place {
        for (position, sums) in [(1, dk), (2, dv)] {
            if let (Some(view), Some(sums)) = (call.optional_output(position), sums) {
                add_parts::<T>(call, view, sums, parts, size);
            }
        }
    }
}

/// `out = Σ` of the parts of each kv head, in their order.
fn add_parts<T: Float>(call: &KernelCall, view: &View, sums: Ptr<T::Acc>, parts: usize, size: usize) {
    let out = Rows::<T>::new(view);
    call.pool().run_ranges(view.elements(), 8192, |range| {
        for i in range {
            let first = (i / size * parts * size + i % size) as isize;
            // SAFETY: the tasks have ended, so nobody writes the sums; every output belongs to one range.
            unsafe {
                let terms = (0..parts).map(|part| sums.read(first + (part * size) as isize));
                out.part(i, 1)[0] = T::store(terms.sum());
            }
        }
    });
}

struct Job<'a, T: Float> {
    problem: &'a Problem<'a>,
    parts: usize,
    grad: Heads<T>,
    q: Heads<T>,
    k: Heads<T>,
    v: Heads<T>,
    y: Heads<T>,
    lse: Heads<T::Acc>,
    dq: Option<Rows<T>>,
    /// Sums of all tasks, `[tasks, keys, dim]`.
    dk: Option<Ptr<T::Acc>>,
    dv: Option<Ptr<T::Acc>>,
}

impl<T: Float> Job<'_, T>
where
    T::Acc: Float<Acc = T::Acc>,
{
    /// The query heads of one part of a kv head: blocks of queries in order, for each its blocks of keys in order.
    fn run(&self, task: usize) {
        let (problem, dim) = (self.problem, self.problem.dim);
        let heads = problem.group() / self.parts;
        let (b, kv_head) = (task / self.parts / problem.kv_heads, task / self.parts % problem.kv_heads);
        let first_head = kv_head * problem.group() + task % self.parts * heads;
        let total = heads * problem.queries;
        let size = problem.keys * dim;
        for sums in [self.dk, self.dv].into_iter().flatten() {
            // SAFETY: every task has its own sums.
            unsafe { sums.slice_mut(task * size, size) }.fill(T::Acc::ZERO);
        }
        let [dk, dv] =
            [self.dk, self.dv].map(|sums| sums.map(|sums| Strided::dense(sums.at(task * size), dim)));
        let place = Place { b, kv_head, first_head, dk, dv };
        let (rows, keys, scores) = (QUERIES * dim, KEYS * dim, QUERIES * KEYS);
        let sizes = [rows, rows, rows, rows, rows, keys, keys, scores, scores, QUERIES].map(aligned);
        scratch::with::<T::Acc, _>(sizes.iter().sum(), |buffer| {
            let mut rest = buffer;
            let buffers = sizes.map(|size| {
                let (part, behind) = std::mem::take(&mut rest).split_at_mut(size);
                rest = behind;
                part
            });
            let mut buffers = Buffers::new(buffers);
            for first in (0..total).step_by(QUERIES) {
                let block = QueryBlock::new(problem, b, first, total);
                self.block(&place, &block, &mut buffers);
            }
        });
    }

    fn block(&self, place: &Place<T::Acc>, block: &QueryBlock, buffers: &mut Buffers<T::Acc>) {
        let (problem, dim, width) = (self.problem, self.problem.dim, block.width);
        let scale = T::Acc::real(problem.scale);
        let (b, head) = (place.b, place.first_head);
        let grad = block.load(self.grad, b, head, buffers.grad);
        let (lse, delta) = self.row_numbers(place, block, grad, buffers);
        let q = block.load(self.q, b, head, buffers.q);
        block.transpose(q, scale, &mut buffers.turned_q[..width * dim]);
        block.transpose(grad, T::Acc::ONE, &mut buffers.turned_grad[..width * dim]);
        let turned_q = Strided::dense(Ptr::of(buffers.turned_q), width);
        let turned_grad = Strided::dense(Ptr::of(buffers.turned_grad), width);
        let dq = Strided::dense(Ptr::of(buffers.dq), dim);
        let mut fresh = true;
        for keys in block.key_blocks(problem, b) {
            let k = widen(self.k.matrix(b, place.kv_head).at_row(keys.start), keys.len, dim, buffers.k);
            let v = widen(self.v.matrix(b, place.kv_head).at_row(keys.start), keys.len, dim, buffers.v);
            let p = &mut buffers.p[..keys.len * width];
            let ds = &mut buffers.ds[..keys.len * width];
            let at_p = Strided::dense(Ptr::of(p), width);
            let at_ds = Strided::dense(Ptr::of(ds), width);
            let (short, long) = ([keys.len, width, dim], [keys.len, dim, block.rows]);
            // SAFETY: blocks of keys lie in the inputs and in the sums of this task, everything else in this
            // thread's buffer, whose parts are large enough for a whole block; so below.
            unsafe { multiply(short, k, turned_q, at_p, false) };
            lanes(p, |p, i| *p = (*p - lse[i]).exp());
            block.mask(problem, b, keys, p, T::Acc::ZERO);
            if let Some(dv) = place.dv {
                // SAFETY: as above.
                unsafe { multiply(long, at_p, grad, dv.at_row(keys.start), true) };
            }
            // SAFETY: as above.
            unsafe { multiply(short, v, turned_grad, at_ds, false) };
            lanes2(ds, p, |ds, p, i| *ds = p * (*ds - delta[i]) * scale);
            if let Some(dk) = place.dk {
                // SAFETY: as above.
                unsafe { multiply(long, at_ds, q, dk.at_row(keys.start), true) };
            }
            if self.dq.is_some() {
                // SAFETY: as above.
                unsafe { multiply([block.rows, dim, keys.len], at_ds.transposed(), k, dq, !fresh) };
            }
            fresh = false;
        }
        if let Some(out) = &self.dq {
            let first = (b * problem.heads + head) * problem.queries + block.first;
            // SAFETY: every query head belongs to one task.
            let out = unsafe { out.part(first * dim, block.rows * dim) };
            if fresh {
                out.fill(T::store(T::Acc::ZERO));
            } else {
                out.iter_mut().zip(&*buffers.dq).for_each(|(out, dq)| *out = T::store(*dq));
            }
        }
    }

    /// `lse` and `Σ_dim grad · y` of each lane.
    fn row_numbers(
        &self,
        place: &Place<T::Acc>,
        block: &QueryBlock,
        grad: Strided<T::Acc>,
        buffers: &mut Buffers<T::Acc>,
    ) -> ([T::Acc; QUERIES], [T::Acc; QUERIES]) {
        let dim = self.problem.dim;
        // The buffer of `dq` is free until the first product.
        let y = block.load(self.y, place.b, place.first_head, buffers.dq);
        let lse = block.load(self.lse, place.b, place.first_head, buffers.lse);
        let (mut lses, mut deltas) = ([T::Acc::ZERO; QUERIES], [T::Acc::ZERO; QUERIES]);
        for i in 0..QUERIES {
            let row = i % block.width;
            if row < block.rows {
                // SAFETY: the loaded rows have `dim` elements 1 apart, `lse` has one a row.
                unsafe {
                    lses[i] = lse.at_row(row).start.read(0);
                    let (grad, y) = (grad.at_row(row).start.slice(0, dim), y.at_row(row).start.slice(0, dim));
                    deltas[i] = if i < block.width { sum2(grad, y, |g, y| g * y) } else { deltas[row] };
                }
            }
        }
        (lses, deltas)
    }
}

/// Which heads a task handles, and where it sums.
struct Place<R> {
    b: usize,
    kv_head: usize,
    first_head: usize,
    dk: Option<Strided<R>>,
    dv: Option<Strided<R>>,
}

/// Parts of the buffer of a thread.
struct Buffers<'a, R> {
    q: &'a mut [R],
    grad: &'a mut [R],
    turned_q: &'a mut [R],
    turned_grad: &'a mut [R],
    dq: &'a mut [R],
    k: &'a mut [R],
    v: &'a mut [R],
    p: &'a mut [R],
    ds: &'a mut [R],
    lse: &'a mut [R],
}

impl<'a, R: Element> Buffers<'a, R> {
    fn new(parts: [&'a mut [R]; 10]) -> Buffers<'a, R> {
        let [q, grad, turned_q, turned_grad, dq, k, v, p, ds, lse] = parts;
        Buffers { q, grad, turned_q, turned_grad, dq, k, v, p, ds, lse }
    }
}
