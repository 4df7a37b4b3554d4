use elm_core::{DType, Kernel, KernelCall, KernelError};

use crate::element::Real;
use crate::lists::{Blocks, scalar};

pub static KERNELS: &[Kernel] =
    &[Kernel::new("sgd", plain).strided(), Kernel::new("sgd_momentum", momentum).strided()];

/// Scalar inputs before the lists.
const FIXED: usize = 3;

/// The dtype of the parameters; `None` where there is nothing to do.
fn dtype(call: &KernelCall) -> Option<DType> {
    let param = call.inputs.get(FIXED).and_then(Option::as_ref)?;
    (scalar(call, 2) == 0.0).then_some(param.dtype)
}

#[derive(Clone, Copy)]
struct Step<R> {
    lr: R,
    scale: R,
    decay: R,
    momentum: R,
    nesterov: bool,
}

impl<R: Real> Step<R> {
    fn of(call: &KernelCall, momentum: f64, nesterov: bool) -> Step<R> {
        Step {
            lr: R::real(f64::from(scalar(call, 0))),
            scale: R::real(f64::from(scalar(call, 1))),
            decay: R::real(call.attrs.f64("weight_decay")),
            momentum: R::real(momentum),
            nesterov,
        }
    }

    /// The gradient with its decay.
    #[inline(always)]
    fn gradient(self, p: R, g: R) -> R {
        g * self.scale + self.decay * p
    }

    /// The new parameter and velocity.
    #[inline(always)]
    fn update(self, p: R, g: R, v: R) -> [R; 2] {
        let g = self.gradient(p, g);
        let v = self.momentum * v + g;
        let ahead = if self.nesterov { g + self.momentum * v } else { v };
        [p - self.lr * ahead, v]
    }
}

fn plain(call: &KernelCall) -> Result<(), KernelError> {
    match dtype(call) {
        Some(DType::F64) => plain_typed::<f64>(call),
        Some(_) => plain_typed::<f32>(call),
        None => (),
    }
    Ok(())
}

fn plain_typed<R: Real>(call: &KernelCall) {
    let step = Step::<R>::of(call, 0.0, false);
    Blocks::<2>::of(call.inputs, FIXED).run(call, |_, block| {
        // SAFETY: the signature gives both lists the dtype `R`; every element belongs to one block.
        unsafe {
            if block.is_straight() {
                for (p, &g) in block.slice_mut::<R>(0).iter_mut().zip(block.slice::<R>(1)) {
                    *p = *p - step.lr * step.gradient(*p, g);
                }
            } else {
                for n in 0..block.len {
                    let [p, g] = [0, 1].map(|i| block.read::<R>(i, n));
                    block.write(0, n, p - step.lr * step.gradient(p, g));
                }
            }
        }
    });
}

fn momentum(call: &KernelCall) -> Result<(), KernelError> {
    match dtype(call) {
        Some(DType::F64) => momentum_typed::<f64>(call),
        Some(_) => momentum_typed::<f32>(call),
        None => (),
    }
    Ok(())
}

fn momentum_typed<R: Real>(call: &KernelCall) {
    let step = Step::<R>::of(call, call.attrs.f64("momentum"), call.attrs.bool("nesterov"));
    Blocks::<3>::of(call.inputs, FIXED).run(call, |_, block| {
        // SAFETY: the signature gives all lists the dtype `R`; every element belongs to one block.
        unsafe {
            if block.is_straight() {
                let (p, g, v) = (block.slice_mut::<R>(0), block.slice::<R>(1), block.slice_mut::<R>(2));
                for ((p, &g), v) in p.iter_mut().zip(g).zip(v) {
                    [*p, *v] = step.update(*p, g, *v);
                }
            } else {
                for n in 0..block.len {
                    let [p, g, v] = [0, 1, 2].map(|i| block.read::<R>(i, n));
                    let [p, v] = step.update(p, g, v);
                    block.write(0, n, p);
                    block.write(2, n, v);
                }
            }
        }
    });
}
