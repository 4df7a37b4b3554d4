//! What launchers of attention share: the sizes of a call, copies of inputs that lie badly, and which kernels take it.

use elm_core::{Attrs, DType, KernelCall, Layout, View};
use smallvec::SmallVec;

use crate::Gpu;
use crate::copy::copy;
use crate::function::Param;
use crate::gpu::COUNTERS;
use crate::grid::{Grid, THREADS};
use crate::view::{CallExt, Run, address, optional};

/// Keys whose smallest and largest document are known.
const SPAN: usize = 64;
/// Keys of a block of `attention_decode`.
const CHUNK: usize = 64;
/// Queries that read one kv head, at most, for which keys are split among blocks.
const FEW_ROWS: usize = 8;
/// Bytes that fast kernels move at once.
const PACK: usize = 16;

/// `Attention` of `attention.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Arguments {
    heads: u32,
    group: u32,
    queries: u32,
    keys: u32,
    dim: u32,
    causal: u32,
    scale: f64,
    q: [i64; 3],
    k: [i64; 3],
    v: [i64; 3],
    grad: [i64; 3],
    y: [i64; 3],
    documents: *mut u8,
    spans: *mut u8,
    lengths: *mut u8,
    word: *mut u8,
}

// SAFETY: `repr(C)`, numbers and addresses.
unsafe impl Param for Arguments {}

/// Where the inputs of an op stand.
#[derive(Clone, Copy)]
pub struct Positions {
    pub q: usize,
    pub documents: usize,
    pub grad: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Plain,
    /// Tensor cores.
    Flash,
    /// Few queries; keys are split among so many blocks.
    Split {
        parts: usize,
    },
}

/// What the views of a call say; the same for the workspace and for the launch.
pub struct Plan {
    pub path: Path,
    pub batch: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub queries: usize,
    pub keys: usize,
    pub dim: usize,
    pub dtype: DType,
    pub scale: f64,
    positions: Positions,
    causal: bool,
    /// Inputs that are copied to row-major order first, with where in the workspace.
    copies: SmallVec<[(usize, usize); 8]>,
    spans: usize,
    /// Bytes of the workspace that are taken.
    pub used: usize,
}

impl Plan {
    pub fn new(inputs: &[Option<View>], attrs: &Attrs, positions: Positions) -> Option<Plan> {
        let (q, k) = (inputs[positions.q].as_ref()?, inputs[positions.q + 1].as_ref()?);
        let [batch, heads, queries, dim] = [0, 1, 2, 3].map(|axis| q.shape()[axis]);
        let (kv_heads, keys) = (k.shape()[1], k.shape()[2]);
        let given = attrs.is_given("scale");
        let scale = if given { attrs.f64("scale") } else { 1.0 / (dim as f64).sqrt() };
        let mut plan = Plan {
            path: Path::Plain,
            batch,
            heads,
            kv_heads,
            queries,
            keys,
            dim,
            dtype: q.dtype,
            scale,
            positions,
            causal: attrs.bool("causal"),
            copies: SmallVec::new(),
            spans: 0,
            used: 0,
        };
        plan.path = plan.choose();
        for (position, view) in inputs.iter().enumerate() {
            let Some(view) = view else { continue };
            if !plan.fits(view) {
                let at = plan.take(view.bytes());
                plan.copies.push((position, at));
            }
        }
        if inputs[positions.documents].is_some() {
            plan.spans = plan.take(batch * keys.div_ceil(SPAN) * 8);
        }
        Some(plan)
    }

    /// By shape and dtype alone, so that the bits of a result do not depend on where it was computed.
    fn choose(&self) -> Path {
        let pack = PACK / self.dtype.size();
        let rows = self.group() * self.queries;
        let forward = self.positions.grad.is_none();
        if forward
            && rows <= FEW_ROWS
            && self.dtype != DType::F64
            && self.dim.is_multiple_of(pack)
            && self.dim / pack <= 32
            && self.batch * self.kv_heads <= COUNTERS
        {
            // Without a key there is still a result to write.
            return Path::Split { parts: self.keys.div_ceil(CHUNK).max(1) };
        }
        // The maximum of scores is taken before they are scaled.
        let half = matches!(self.dtype, DType::BF16 | DType::F16);
        if half && (self.dim == 64 || self.dim == 128) && self.scale > 0.0 && self.scale.is_finite() {
            return Path::Flash;
        }
        Path::Plain
    }

    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Whether kernels read all inputs where they lie, and nothing has to be made for them first.
    pub fn is_direct(&self) -> bool {
        self.copies.is_empty() && self.spans == 0 && self.positions.grad.is_none()
    }

    /// Queries that read one kv head.
    pub fn rows(&self) -> usize {
        self.group() * self.queries
    }

    /// Bytes of the workspace, as an offset.
    pub fn take(&mut self, bytes: usize) -> usize {
        let at = self.used;
        self.used += bytes.next_multiple_of(256);
        at
    }

    /// Whether kernels can read a view where it lies.
    fn fits(&self, view: &View) -> bool {
        if view.shape().len() != 4 {
            return view.layout.is_contiguous();
        }
        let (shape, steps) = (view.shape(), &view.layout.strides);
        // Memory begins at a multiple of a pack, so the layout says how a view lies.
        let whole = |elements: usize| (elements * view.dtype.size()).is_multiple_of(PACK);
        let packed = self.path == Path::Plain
            || (whole(view.layout.offset)
                && (0..3).all(|axis| shape[axis] <= 1 || whole(steps[axis].unsigned_abs())));
        (steps[3] == 1 || shape[3] <= 1) && packed
    }

    /// Submits the copies and the spans of documents; returns the inputs as kernels read them, and their description.
    pub fn prepare(&self, call: &KernelCall) -> Run<(SmallVec<[Option<View>; 8]>, Arguments)> {
        let gpu = call.gpu();
        let mut views: SmallVec<[Option<View>; 8]> = call.inputs.iter().cloned().collect();
        for &(position, at) in &self.copies {
            let from = call.input(position);
            let base = call.workspace.wrapping_add(at);
            let to = View { base, dtype: from.dtype, layout: Layout::contiguous(from.shape()) };
            copy(gpu, from, &to)?;
            views[position] = Some(to);
        }
        let Positions { q, documents, grad } = self.positions;
        let steps = |position: Option<usize>| {
            let view = position.and_then(|position| views[position].as_ref());
            view.map_or([0; 3], |view| std::array::from_fn(|axis| view.layout.strides[axis] as i64))
        };
        let mut arguments = Arguments {
            heads: self.heads as u32,
            group: self.group() as u32,
            queries: self.queries as u32,
            keys: self.keys as u32,
            dim: self.dim as u32,
            causal: u32::from(self.causal),
            scale: self.scale,
            q: steps(Some(q)),
            k: steps(Some(q + 1)),
            v: steps(Some(q + 2)),
            grad: steps(grad),
            y: steps(grad.map(|_| q + 3)),
            documents: optional(views[documents].as_ref()),
            spans: std::ptr::null_mut(),
            lengths: optional(views[documents + 1].as_ref()),
            word: std::ptr::null_mut(),
        };
        if views[documents].is_some() {
            arguments.spans = call.workspace.wrapping_add(self.spans);
            self.find_spans(gpu, &arguments)?;
        }
        if let Some(lengths) = &views[documents + 1] {
            // A length may be as large as the number of keys.
            arguments.word = gpu.word(lengths, self.keys + 1)?;
        }
        Ok((views, arguments))
    }

    fn find_spans(&self, gpu: &Gpu, arguments: &Arguments) -> Run {
        let spans = self.batch * self.keys.div_ceil(SPAN);
        let args: [&dyn Param; 4] =
            [&arguments.spans, &arguments.documents, &arguments.keys, &(self.batch as u32)];
        let grid = Grid::new((spans * 32).div_ceil(THREADS as usize), THREADS);
        gpu.launch("attention", "attention_spans", &[], grid, &args)
    }

    /// Rows of a block of the plain kernels, each of which keeps `sums` rows of sums in shared memory, with its grid for
    /// `total` rows of each kv head.
    pub fn plain_grid(&self, gpu: &Gpu, total: usize, sums: usize) -> (u32, Grid) {
        /// Shared memory that those kernels have besides.
        const OWN: usize = 40 * 1024;
        let bytes = self.dim * sums * self.dtype.accumulator().size();
        let rows = ((gpu.limits.shared as usize - OWN) / bytes).clamp(1, 16);
        let blocks = self.batch * self.kv_heads * total.div_ceil(rows);
        (rows as u32, Grid::new(blocks, 128).shared(rows * bytes))
    }
}

/// The address of an input that is there.
pub fn start(views: &[Option<View>], position: usize) -> *mut u8 {
    address(views[position].as_ref().expect("the schema makes this input present"))
}
