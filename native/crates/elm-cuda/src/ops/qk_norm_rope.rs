use elm_core::{Attrs, DType, Kernel, KernelCall, View};

use crate::angles;
use crate::function::Param;
use crate::grid::{Grid, THREADS};
use crate::view::{CallExt, Run, address, optional};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("qk_norm_rope", forward).with_workspace(|inputs, _, attrs| bytes(inputs, attrs, 0)),
    Kernel::new("qk_norm_rope_backward", backward).with_workspace(|inputs, _, attrs| {
        let qkv = inputs[3].as_ref();
        let sums =
            qkv.map_or(0, |qkv| 2 * BLOCKS * Heads::of(qkv, attrs).dim() * qkv.dtype.accumulator().size());
        bytes(inputs, attrs, 3) + sums
    }),
];

/// Blocks among which the heads of a gradient are shared, whatever the chip: the sums must not depend on it.
const BLOCKS: usize = 264;

/// Of the table of angles, the first part of the workspace.
fn bytes(inputs: &[Option<View>], attrs: &Attrs, qkv: usize) -> usize {
    let has_offset = inputs[qkv + 3].is_some();
    inputs[qkv].as_ref().map_or(0, |view| angles::bytes(sizes(view, attrs), view.dtype, has_offset))
}

/// `Heads` of the kernels.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    pub rows: u64,
    pub tokens: u32,
    query: u32,
    kv: u32,
    half: u32,
    pub lanes: u32,
}

// SAFETY: `repr(C)`, numbers; both sides pad to a multiple of 8 bytes.
unsafe impl Param for Heads {}

impl Heads {
    pub fn of(qkv: &View, attrs: &Attrs) -> Heads {
        let (query, kv) = (attrs.int("query_heads") as usize, attrs.int("kv_heads") as usize);
        let [batch, tokens, width] = [0, 1, 2].map(|axis| qkv.shape()[axis]);
        Heads {
            rows: (batch * tokens) as u64,
            tokens: tokens as u32,
            query: query as u32,
            kv: kv as u32,
            half: (width / (query + 2 * kv) / 2) as u32,
            lanes: 32,
        }
    }

    pub fn dim(self) -> usize {
        2 * self.half as usize
    }

    /// Heads of queries, keys and values in a row.
    pub fn count(self) -> usize {
        (self.query + 2 * self.kv) as usize
    }

    /// With packs of 16 bytes where a few lanes of a warp hold a head; returns whether that is so.
    pub fn packed(mut self, dtype: DType, views: &[&View]) -> (Heads, bool) {
        let pack = 16 / dtype.size() as u32;
        let lanes = self.half / pack;
        let packed = self.half.is_multiple_of(pack)
            && lanes.is_power_of_two()
            && lanes <= 32
            && views.iter().all(|view| (address(view) as usize).is_multiple_of(16));
        if packed {
            self.lanes = lanes;
        }
        (self, packed)
    }
}

/// Batch, tokens and the size of a head.
pub(super) fn sizes(qkv: &View, attrs: &Attrs) -> [usize; 3] {
    [qkv.shape()[0], qkv.shape()[1], Heads::of(qkv, attrs).dim()]
}

/// The dtype of the weights; that of `qkv` where there are none.
pub(crate) fn weight_dtype(qkv: &View, weights: [Option<&View>; 2]) -> DType {
    weights.into_iter().flatten().next().unwrap_or(qkv).dtype
}

fn forward(call: &KernelCall) -> Run {
    let (gpu, qkv) = (call.gpu(), call.input(0));
    if qkv.elements() == 0 {
        return Ok(());
    }
    let (heads, packed) =
        Heads::of(qkv, call.attrs).packed(qkv.dtype, &[qkv, call.output(0), call.output(1), call.output(2)]);
    let angles =
        angles::table(call, call.workspace, sizes(qkv, call.attrs), qkv.dtype, call.optional_input(3))?;
    let eps = call.attrs.f64("eps");
    let args: [&dyn Param; 11] = [
        &address(call.output(0)),
        &address(call.output(1)),
        &address(call.output(2)),
        &optional(call.optional_output(3)),
        &optional(call.optional_output(4)),
        &address(qkv),
        &optional(call.optional_input(1)),
        &optional(call.optional_input(2)),
        &heads,
        &angles,
        &eps,
    ];
    let threads = heads.rows as usize * heads.count() * heads.lanes as usize;
    let name = if packed { "heads_packed" } else { "heads" };
    let grid = Grid::new(threads.div_ceil(THREADS as usize), THREADS);
    let weights = weight_dtype(qkv, [1, 2].map(|i| call.optional_input(i)));
    gpu.launch("qk_norm_rope", name, &[qkv.dtype, weights], grid, &args)
}

fn backward(call: &KernelCall) -> Run {
    let (gpu, qkv) = (call.gpu(), call.input(3));
    let wide = qkv.dtype.accumulator();
    let mut views: Vec<&View> = (0..4).map(|i| call.input(i)).collect();
    views.extend(call.optional_output(0));
    let (heads, packed) = Heads::of(qkv, call.attrs).packed(qkv.dtype, &views);
    let has_offset = call.optional_input(6).is_some();
    let table = angles::bytes(sizes(qkv, call.attrs), qkv.dtype, has_offset);
    let partial = call.workspace.wrapping_add(table);
    let bundles = (THREADS / heads.lanes) as usize;
    let most = heads.rows as usize * heads.query.max(heads.kv) as usize;
    let blocks = most.div_ceil(bundles).min(BLOCKS);
    if blocks > 0 {
        let angles =
            angles::table(call, call.workspace, sizes(qkv, call.attrs), qkv.dtype, call.optional_input(6))?;
        let args: [&dyn Param; 12] = [
            &optional(call.optional_output(0)),
            &partial,
            &address(call.input(0)),
            &address(call.input(1)),
            &address(call.input(2)),
            &address(qkv),
            &optional(call.optional_input(4)),
            &optional(call.optional_input(5)),
            &address(call.input(7)),
            &address(call.input(8)),
            &heads,
            &angles,
        ];
        let name = if packed { "heads_packed_backward" } else { "heads_backward" };
        let grid = Grid::new(blocks, THREADS).shared(bundles * heads.dim() * wide.size());
        let weights = weight_dtype(qkv, [4, 5].map(|i| call.optional_input(i)));
        gpu.launch("qk_norm_rope", name, &[qkv.dtype, weights], grid, &args)?;
    }
    // A missing weight's gradient has the dtype of `qkv`, which may not be that of the other.
    let (dq, dk) = (call.optional_output(1), call.optional_output(2));
    let (blocks, dim) = (blocks as u32, heads.dim() as u32);
    let none = std::ptr::null_mut::<u8>();
    for (dweight, to) in [(dq, [optional(dq), none]), (dk, [none, optional(dk)])] {
        let Some(dweight) = dweight else { continue };
        let grid = Grid::of([(dim as usize).div_ceil(128), 2, 1], 128);
        let args: [&dyn Param; 5] = [&to[0], &to[1], &partial, &blocks, &dim];
        gpu.launch("qk_norm_rope", "weight_sums", &[dweight.dtype], grid, &args)?;
    }
    Ok(())
}
