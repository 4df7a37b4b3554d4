use elm_core::{DType, Kernel, KernelCall, KernelError};

use crate::element::Real;
use crate::lists::{Blocks, scalar};

pub static KERNELS: &[Kernel] = &[Kernel::new("adamw", run).strided()];

/// Scalar inputs before the lists.
const FIXED: usize = 4;

fn run(call: &KernelCall) -> Result<(), KernelError> {
    match call.inputs.get(FIXED).and_then(Option::as_ref).map(|param| param.dtype) {
        Some(DType::F64) => typed::<f64>(call),
        Some(_) => typed::<f32>(call),
        None => (),
    }
    Ok(())
}

/// What one element needs, worked out once.
#[derive(Clone, Copy)]
struct Step<R> {
    scale: R,
    beta1: R,
    beta2: R,
    /// `1 − β` from the f64 attributes: in f32 the difference would lose digits.
    rest1: R,
    rest2: R,
    eps: R,
    /// `1 − lr · weight_decay`.
    keep: R,
    /// `lr / (1 − β₁ᵗ)`.
    rate: R,
    /// `1 / √(1 − β₂ᵗ)`.
    root: R,
}

impl<R: Real> Step<R> {
    fn of(call: &KernelCall) -> Step<R> {
        let [lr, step, scale] = [0, 1, 2].map(|i| f64::from(scalar(call, i)));
        let [beta1, beta2] = ["beta1", "beta2"].map(|name| call.attrs.f64(name));
        Step {
            scale: R::real(scale),
            beta1: R::real(beta1),
            beta2: R::real(beta2),
            rest1: R::real(1.0 - beta1),
            rest2: R::real(1.0 - beta2),
            eps: R::real(call.attrs.f64("eps")),
            keep: R::real(1.0 - lr * call.attrs.f64("weight_decay")),
            rate: R::real(lr / (1.0 - beta1.powf(step))),
            root: R::real(1.0 / (1.0 - beta2.powf(step)).sqrt()),
        }
    }

    /// The new parameter, mean and mean square.
    #[inline(always)]
    fn update(self, p: R, g: R, m: R, v: R) -> [R; 3] {
        let g = g * self.scale;
        let m = self.beta1 * m + self.rest1 * g;
        let v = self.beta2 * v + self.rest2 * (g * g);
        [self.keep * p - self.rate * m / (v.sqrt() * self.root + self.eps), m, v]
    }
}

fn typed<R: Real>(call: &KernelCall) {
    if scalar(call, 3) != 0.0 {
        return;
    }
    let step = Step::<R>::of(call);
    Blocks::<4>::of(call.inputs, FIXED).run(call, |_, block| {
        // SAFETY: the signature gives all lists the dtype `R`; every element belongs to one block.
        unsafe {
            if block.is_straight() {
                let (p, g) = (block.slice_mut::<R>(0), block.slice::<R>(1));
                let (m, v) = (block.slice_mut::<R>(2), block.slice_mut::<R>(3));
                for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                    [*p, *m, *v] = step.update(*p, g, *m, *v);
                }
            } else {
                for n in 0..block.len {
                    let [p, g, m, v] = [0, 1, 2, 3].map(|i| block.read::<R>(i, n));
                    let new = step.update(p, g, m, v);
                    [0, 2, 3].into_iter().zip(new).for_each(|(i, value)| block.write(i, n, value));
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use elm_core::sample;

    use super::*;
    use crate::Pool;
    use crate::testing::{Tensor, call};

    /// The first step moves every parameter by `lr`, whatever the size of its gradient.
    #[test]
    fn the_first_step_has_the_length_of_the_rate() {
        let scalar = |value: f64| Some(Tensor::of(DType::F32, &[], |_| value));
        let zeros = Tensor::new(DType::F32, &[50]);
        let grad = Tensor::of(DType::F32, &[50], |i| if i % 2 == 0 { 1e-3 } else { -40.0 * i as f64 });
        let param = Tensor::of(DType::F32, &[50], |_| 1.0);
        let mut inputs = [scalar(0.125), scalar(1.0), scalar(1.0), scalar(0.0)].to_vec();
        inputs.extend([param, grad, zeros.clone(), zeros].map(Some));
        call("adamw", &sample(&[]), &mut inputs, &Pool::new(2)).expect("a step cannot fail");
        let bytes = inputs[FIXED].as_ref().expect("the parameter").bytes();
        for (i, bytes) in bytes.chunks_exact(4).enumerate().take(50) {
            let value = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
            let want = if i % 2 == 0 { 0.875 } else { 1.125 };
            assert!((value - want).abs() < 1e-5, "{i}: {value}");
        }
    }
}
