//! Ops over lists of tensors: few launches, whatever the number of tensors; `lists.cuh` is the other half.

use elm_core::{DType, KernelCall, Layout, View};
use smallvec::SmallVec;

use crate::function::Param;
use crate::grid::{Grid, THREADS};
use crate::nd::Nd;
use crate::view::{CallExt, Run, address};

/// Tensors of each list that one launch takes: the arguments stay below the 4 KiB that every driver takes.
const MOST: usize = 64;
/// Elements of a block.
const CHUNK: usize = 8192;

/// `Lists<N>` of `lists.cuh`.
#[repr(C)]
struct Lists<const N: usize> {
    tensors: [[u64; MOST]; N],
    sizes: [u64; MOST],
    ends: [u32; MOST],
    count: u32,
    strided: u32,
    nd: Nd<N>,
}

// SAFETY: `repr(C)`, numbers and addresses only.
unsafe impl<const N: usize> Param for Lists<N> {}

impl<const N: usize> Lists<N> {
    fn new() -> Lists<N> {
        let nd = Nd { rank: 0, dims: [1; elm_core::MAX_RANK], strides: [[0; elm_core::MAX_RANK]; N] };
        Lists { tensors: [[0; MOST]; N], sizes: [0; MOST], ends: [0; MOST], count: 0, strided: 0, nd }
    }

    fn blocks(&self) -> usize {
        self.count.checked_sub(1).map_or(0, |last| self.ends[last as usize] as usize)
    }

    fn push(&mut self, views: [&View; N]) {
        let (at, elements) = (self.count as usize, views[0].elements());
        let end = self.blocks() + elements.div_ceil(CHUNK);
        (0..N).for_each(|i| self.tensors[i][at] = address(views[i]) as u64);
        self.sizes[at] = elements as u64;
        self.ends[at] = u32::try_from(end).expect("fewer than 2³² blocks");
        self.count += 1;
    }
}

/// Runs the kernel on the `N` lists that follow the first `fixed` inputs, which are scalars: it takes `lists`, the
/// scalars' addresses, then `extra`.
pub fn run<const N: usize>(
    call: &KernelCall,
    fixed: usize,
    module: &'static str,
    name: &'static str,
    dtypes: &[DType],
    extra: &[&dyn Param],
) -> Run {
    let scalars: SmallVec<[*mut u8; 4]> = (0..fixed).map(|i| address(call.input(i))).collect();
    let launch = |lists: &Lists<N>| {
        let mut args: SmallVec<[&dyn Param; 12]> = SmallVec::new();
        args.push(lists);
        args.extend(scalars.iter().map(|scalar| scalar as &dyn Param));
        args.extend(extra.iter().copied());
        call.gpu().launch(module, name, dtypes, Grid::new(lists.blocks(), THREADS), &args)
    };
    let count = (call.inputs.len() - fixed) / N;
    let mut held = Lists::<N>::new();
    for n in 0..count {
        let views: [&View; N] = std::array::from_fn(|list| call.input(fixed + list * count + n));
        if views[0].elements() == 0 {
            continue;
        }
        let nd = Nd::new(views.map(|view: &View| -> &Layout { &view.layout }));
        if !(0..N).all(|i| nd.is_straight(i)) {
            let mut alone = Lists { strided: 1, nd, ..Lists::new() };
            alone.push(views);
            launch(&alone)?;
            continue;
        }
        held.push(views);
        if held.count as usize == MOST {
            launch(&held)?;
            held = Lists::new();
        }
    }
    launch(&held)
}
