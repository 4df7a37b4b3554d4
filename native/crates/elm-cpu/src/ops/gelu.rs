use elm_core::{Kernel, KernelCall, KernelError};

use super::unary::elementary_cost;
use crate::element::Float;
use crate::elementary::Elementary;
use crate::map::{map_real, map2};
use crate::view::CallExt;
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("gelu", forward).strided().with_cost(elementary_cost),
    Kernel::new("gelu_backward", backward).strided().with_cost(elementary_cost),
];

/// `2 · √(2/π)`.
const TWICE_ROOT: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = 0.044_715;

fn is_exact(call: &KernelCall) -> bool {
    call.attrs.choice("approximate") == 0
}

/// `(1 + tanh u) / 2 = sigmoid(2u)`, which does not cancel for negative `u`.
#[inline(always)]
fn by_tanh<R: Elementary>(x: R) -> R {
    (R::real(TWICE_ROOT) * x.mul_add(R::real(CUBIC) * x * x, x)).sigmoid()
}

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => if is_exact(call) {
        map_real::<T>(call, #[inline(always)] |x| x * x.normal_cdf());
    } else {
        map_real::<T>(call, #[inline(always)] |x| x * by_tanh(x));
    });
    Ok(())
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    #[inline(always)]
    fn exact_slope<R: Elementary>(x: R) -> R {
        let density = (R::real(-0.5) * x * x).exp() * R::real(1.0 / (2.0 * std::f64::consts::PI).sqrt());
        x.mul_add(density, x.normal_cdf())
    }
    #[inline(always)]
    fn tanh_slope<R: Elementary>(x: R) -> R {
        let s = by_tanh(x);
        let inner = R::real(TWICE_ROOT) * (R::real(3.0 * CUBIC) * x).mul_add(x, R::ONE);
        // 1 − s loses digits where s is near 1; there the term is small beside s.
        (x * inner * (R::ONE - s)).mul_add(s, s)
    }
    with_float!(call.input(0).dtype, T => if is_exact(call) {
        map2::<T, T, T>(call, #[inline(always)] |grad, x| T::store(grad.load() * exact_slope(x.load())));
    } else {
        map2::<T, T, T>(call, #[inline(always)] |grad, x| T::store(grad.load() * tanh_slope(x.load())));
    });
    Ok(())
}
