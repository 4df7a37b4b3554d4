use elm_core::{Attrs, Kernel, KernelCall, View};

use super::assign::{aside_bytes, position_word, set_aside_bytes};
use super::qk_norm_rope::{Heads, sizes, weight_dtype};
use crate::angles::{self, Angles, Frequencies};
use crate::function::Param;
use crate::grid::Grid;
use crate::view::{CallExt, Run, address, optional};

pub static KERNELS: &[Kernel] = &[Kernel::new("qk_norm_rope_cache", run).with_workspace(workspace)];

/// Inputs that are written, and those that are only read.
const CACHES: [usize; 2] = [1, 2];
const READ: [usize; 4] = [0, 3, 4, 5];

/// Threads of a block, all of which have heads of one token.
const THREADS: usize = 128;

/// `Caches` of `qk_norm_rope.cu`.
#[repr(C)]
pub(crate) struct Caches {
    keys: *mut u8,
    values: *mut u8,
    key_steps: [i64; 4],
    value_steps: [i64; 4],
    offset: *mut u8,
    most: i64,
    word: *mut u8,
    batch: u64,
}

// SAFETY: `repr(C)`, addresses and numbers of 8 bytes.
unsafe impl Param for Caches {}

impl Caches {
    pub(crate) fn of(call: &KernelCall, offset: &View) -> Run<Caches> {
        let (keys, values) = (call.input(1), call.input(2));
        let (batch, tokens, capacity) = (call.input(0).shape()[0], call.input(0).shape()[1], keys.shape()[2]);
        let steps = |view: &View| std::array::from_fn(|axis| view.layout.strides[axis] as i64);
        Ok(Caches {
            keys: address(keys),
            values: address(values),
            key_steps: steps(keys),
            value_steps: steps(values),
            offset: address(offset),
            most: (capacity - tokens) as i64,
            word: position_word(call.gpu(), offset, tokens, capacity)?,
            batch: batch as u64,
        })
    }
}

/// How the heads of `qkv` are shared out, and whether they and the caches are moved in packs.
fn heads(call: &KernelCall, qkv: &View) -> (Heads, bool) {
    let (q, keys, values) = (call.output(0), call.input(1), call.input(2));
    let heads = Heads::of(qkv, call.attrs);
    let (packed, fits) = heads.packed(qkv.dtype, &[qkv, q, keys, values]);
    let in_packs = fits && [keys, values].into_iter().all(takes_packs);
    (if in_packs { packed } else { heads }, in_packs)
}

/// The heads of a call that moves all of them in packs, makes the angles itself and needs no copies: what another kernel can
/// do on its way.
pub(crate) fn simple_heads(call: &KernelCall) -> Option<Heads> {
    let qkv = call.input(0);
    let (heads, in_packs) = heads(call, qkv);
    (in_packs && qkv.elements() > 0 && workspace(call.inputs, call.outputs, call.attrs) == 0).then_some(heads)
}

/// Bytes of the table of angles, where the kernel does not make them itself.
fn table_bytes(qkv: &View, attrs: &Attrs) -> usize {
    let sizes = sizes(qkv, attrs);
    if angles::fit_one_launch(sizes[2]) { 0 } else { angles::bytes(sizes, qkv.dtype, true) }
}

/// Bytes to set aside an input that shares memory with a cache.
fn aside(inputs: &[Option<View>], read: usize) -> usize {
    // Optional inputs at the end may be left out.
    let Some(view) = inputs.get(read) else { return 0 };
    CACHES.into_iter().map(|cache| aside_bytes(&inputs[cache], view)).max().unwrap_or(0)
}

fn workspace(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    let table = inputs[0].as_ref().map_or(0, |qkv| table_bytes(qkv, attrs));
    table + READ.into_iter().map(|read| aside(inputs, read)).sum::<usize>()
}

fn run(call: &KernelCall) -> Run {
    let (gpu, q) = (call.gpu(), call.output(0));
    let (batch, tokens) = (call.input(0).shape()[0], call.input(0).shape()[1]);
    if batch == 0 {
        return Ok(());
    }
    let table = table_bytes(call.input(0), call.attrs);
    let mut scratch = call.workspace.wrapping_add(table);
    let mut read = |position| set_aside_bytes(call, position, aside(call.inputs, position), &mut scratch);
    let (qkv, offset) = (&read(0)?, &read(3)?);
    let mut weight = |position| call.optional_input(position).map(|_| read(position)).transpose();
    let (q_weight, k_weight) = (weight(4)?, weight(5)?);
    let (q_weight, k_weight) = (q_weight.as_ref(), k_weight.as_ref());

    let (heads, in_packs) = heads(call, qkv);
    let angles = match table {
        0 => Angles::without_table(),
        _ => angles::table(call, call.workspace, sizes(qkv, call.attrs), qkv.dtype, Some(offset))?,
    };
    let caches = Caches::of(call, offset)?;
    let parts = (heads.count() * heads.lanes as usize).div_ceil(THREADS);
    let args: [&dyn Param; 10] = [
        &address(q),
        &caches,
        &address(qkv),
        &optional(q_weight),
        &optional(k_weight),
        &heads,
        &angles,
        &Frequencies::from(0, heads.dim(), call.attrs.f64("base")),
        &(parts as u32),
        &call.attrs.f64("eps"),
    ];
    let name = if in_packs { "heads_packed_cache" } else { "heads_cache" };
    // Offsets are looked at even where there is nothing to write.
    let grid = Grid::new((batch * tokens * parts).max(1), THREADS as u32);
    gpu.launch("qk_norm_rope", name, &[qkv.dtype, weight_dtype(qkv, [q_weight, k_weight])], grid, &args)
}

/// Whether each head's components of a cache that begins at a multiple of 16 bytes can be written 16 bytes at a time.
fn takes_packs(cache: &View) -> bool {
    let (shape, steps) = (cache.shape(), &cache.layout.strides);
    let whole = |axis: usize| {
        shape[axis] <= 1 || (steps[axis].unsigned_abs() * cache.dtype.size()).is_multiple_of(16)
    };
    steps[3] == 1 && (0..3).all(whole)
}
