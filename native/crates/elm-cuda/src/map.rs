//! Launches of elementwise kernels; `map.cuh` is their other half.

use elm_core::{DType, KernelCall, Layout, View};
use smallvec::SmallVec;

use crate::function::Param;
use crate::grid::Grid;
use crate::nd::Nd;
use crate::view::{CallExt, Run, address};

/// Elements of 16 bytes at a time want addresses of that alignment.
const PACK: usize = 16;

/// `y = f(inputs…)` with `N` operands, the output first: the kernel takes `y, x…, nd, n, straight`, then `extra`.
pub fn map<const N: usize>(
    call: &KernelCall,
    module: &'static str,
    name: &'static str,
    dtypes: &[DType],
    extra: &[&dyn Param],
) -> Run {
    let inputs: SmallVec<[&View; 4]> = (0..N - 1).map(|i| call.input(i)).collect();
    map_views::<N>(call, module, name, dtypes, call.output(0), &inputs, extra)
}

/// The same with operands of the caller's choice; inputs broadcast to the shape of `y`, which is row-major.
pub fn map_views<const N: usize>(
    call: &KernelCall,
    module: &'static str,
    name: &'static str,
    dtypes: &[DType],
    y: &View,
    inputs: &[&View],
    extra: &[&dyn Param],
) -> Run {
    let n = y.elements();
    if n == 0 {
        return Ok(());
    }
    let spread: SmallVec<[Layout; 4]> = inputs
        .iter()
        .map(|x| {
            x.layout.broadcast_to(y.shape()).expect("the shape rule made the output's shape from its inputs'")
        })
        .collect();
    let nd: Nd<N> = Nd::new(std::array::from_fn(|i| if i == 0 { &y.layout } else { &spread[i - 1] }));
    let views = || std::iter::once(y).chain(inputs.iter().copied());
    let straight =
        (0..N).all(|i| nd.is_straight(i)) && views().all(|v| (address(v) as usize).is_multiple_of(PACK));
    let (n, straight) = (n as u64, u32::from(straight));
    let pointers: SmallVec<[*mut u8; 4]> = views().map(address).collect();
    let mut args: SmallVec<[&dyn Param; 12]> = pointers.iter().map(|p| p as &dyn Param).collect();
    args.extend([&nd as &dyn Param, &n, &straight]);
    args.extend(extra.iter().copied());
    let per_thread = if straight != 0 { PACK / y.dtype.size().max(2) } else { 1 };
    let gpu = call.gpu();
    gpu.launch(module, name, dtypes, Grid::over((n as usize).div_ceil(per_thread), &gpu.limits), &args)
}
