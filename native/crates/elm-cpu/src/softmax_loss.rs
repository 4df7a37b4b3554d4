//! Rows of the cross-entropy with its penalty, in the accumulator: what every op with this loss shares.

use elm_core::{Attrs, KernelError};

use crate::element::{Element, Real, is_nan};
use crate::lines;
use crate::simd::{Slices, prefetch_all};

/// The attributes of the loss, over rows of `classes` logits.
#[derive(Clone, Copy)]
pub struct Loss {
    classes: f64,
    ignore: i64,
    z_loss: f64,
    /// What an ignored position adds to `z`.
    constant: f64,
    smoothing: f64,
}

/// Sums over rows, kept in f64 so that long batches lose nothing.
#[derive(Clone, Copy, Default)]
pub struct Sums {
    pub ce: f64,
    pub z: f64,
}

impl Sums {
    pub fn add(&mut self, other: Sums) {
        self.ce += other.ce;
        self.z += other.z;
    }
}

impl Loss {
    pub fn of(attrs: &Attrs, classes: usize) -> Loss {
        let z_loss = attrs.f64("z_loss");
        let is_corenet = attrs.choice("z_loss_mode") == 1;
        Loss {
            classes: classes as f64,
            ignore: attrs.int("ignore_index"),
            z_loss,
            constant: if is_corenet { z_loss * (classes as f64).ln().powi(2) } else { 0.0 },
            smoothing: attrs.f64("label_smoothing"),
        }
    }

    fn counts(self, target: i32) -> bool {
        i64::from(target) != self.ignore
    }

    /// Before anything is written: every target that counts names a class.
    pub fn check(self, targets: &[i32]) -> Result<(), KernelError> {
        let wrong = |&t: &i32| self.counts(t) && !(0.0..self.classes).contains(&f64::from(t));
        match targets.iter().position(wrong) {
            None => Ok(()),
            Some(position) => Err(KernelError::index(format!(
                "targets must lie in 0 … {} or be ignore_index ({}), got {} at position {position} (there are {} \
                 classes)",
                self.classes - 1.0,
                self.ignore,
                targets[position],
                self.classes
            ))),
        }
    }

    /// The log-partition of a row and what the row adds to the sums.
    #[inline(always)]
    pub fn row<T: Slices>(self, logits: &[T], target: i32) -> (T::Acc, Sums) {
        let lse = log_sum_exp(logits);
        if !self.counts(target) {
            return (lse, Sums { ce: 0.0, z: self.constant });
        }
        let wide = lse.to_f64();
        let of_target = logits[target as usize].to_f64();
        let mut ce = wide - (1.0 - self.smoothing) * of_target;
        if self.smoothing != 0.0 {
            ce -= self.smoothing * mean(logits);
        }
        (lse, Sums { ce, z: self.z_loss * wide * wide })
    }

    /// Writes the gradient of a row: `grad · (p · (1 + 2·z_loss·lse) − (1 − ε)·onehot − ε/V)`.
    #[inline(always)]
    pub fn gradient<T: Slices>(self, logits: &[T], target: i32, lse: T::Acc, grad: T::Acc, out: &mut [T]) {
        if !self.counts(target) {
            out.fill(T::store(T::Acc::ZERO));
            return;
        }
        let (slope, spread) = self.factors(lse, grad);
        let mut room = [T::Acc::ZERO; BLOCK];
        let mut wide = [T::Acc::ZERO; BLOCK];
        for (out, x) in out.chunks_mut(BLOCK).zip(logits.chunks(BLOCK)) {
            let x = T::wide(x, &mut wide);
            T::write(
                out,
                &mut room,
                #[inline(always)]
                |out| {
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = (x - lse).exp_below().mul_add(slope, -spread);
                    }
                },
            );
        }
        // From the wide value, so that the target's element is rounded once.
        let at = target as usize;
        out[at] = T::store(self.at_target(logits[at].load(), lse, grad));
    }

    /// The same in place.
    #[inline(always)]
    pub fn gradient_in_place<R: Real>(self, row: &mut [R], target: i32, lse: R) {
        if !self.counts(target) {
            row.fill(R::ZERO);
            return;
        }
        let at_target = self.at_target(row[target as usize], lse, R::ONE);
        let (slope, spread) = self.factors(lse, R::ONE);
        for x in row.iter_mut() {
            *x = (*x - lse).exp_below().mul_add(slope, -spread);
        }
        row[target as usize] = at_target;
    }

    fn factors<R: Real>(self, lse: R, grad: R) -> (R, R) {
        let slope = grad * (R::ONE + R::real(2.0 * self.z_loss) * lse);
        (slope, grad * R::real(self.smoothing / self.classes))
    }

    fn at_target<R: Real>(self, logit: R, lse: R, grad: R) -> R {
        let (slope, spread) = self.factors(lse, grad);
        (logit - lse).exp() * slope - spread - grad * R::real(1.0 - self.smoothing)
    }
}

/// Logits that are widened and looked at together: twice, and the second time they are in the first cache.
const BLOCK: usize = 1024;

/// `ln Σ exp(x)`, shifted by the largest element so that nothing overflows.
///
/// In one pass: each block is summed with the largest element until then, and a block that raises it scales the sum
/// before. While that is not finite, nothing is summed.
#[inline(always)]
fn log_sum_exp<T: Slices>(row: &[T]) -> T::Acc {
    let mut room = [T::Acc::ZERO; BLOCK];
    let (mut top, mut sum) = (-T::Acc::INFINITY, T::Acc::ZERO);
    for (index, block) in row.chunks(BLOCK).enumerate() {
        // Exponentials take longer than the memory does; it must not wait for them.
        let next = row.len().min((index + 1) * BLOCK);
        prefetch_all(&row[next..row.len().min(next + BLOCK)]);
        let block = T::wide(block, &mut room);
        let most = lines::largest(block);
        if most > top {
            sum = sum * (top - most).exp();
            top = most;
        }
        if top.is_finite() {
            sum += lines::sum_of(
                block,
                #[inline(always)]
                |x| (x - top).exp_below(),
            );
        } else if block.iter().any(|x| is_nan(*x)) {
            return T::Acc::real(f64::NAN);
        }
    }
    // A sum that is NaN already stays so.
    top + if top.is_finite() { sum.ln() } else { T::Acc::ZERO * sum }
}

#[inline(always)]
fn mean<T: Slices>(row: &[T]) -> f64 {
    let mut room = [T::Acc::ZERO; BLOCK];
    let blocks = row.chunks(BLOCK).map(|block| lines::sum(T::wide(block, &mut room)));
    blocks.sum::<T::Acc>().to_f64() / row.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_and_nan_pass_through_the_log_partition() {
        let inf = f32::INFINITY;
        assert_eq!(log_sum_exp(&[-inf; 40]), -inf);
        assert_eq!(log_sum_exp(&[1.0, inf, -inf]), inf);
        assert!(log_sum_exp(&[f32::NAN; 3]).is_nan());
        let mut row = [0.5f32; 40];
        row[35] = f32::NAN;
        assert!(log_sum_exp(&row).is_nan());
        row[35] = -inf;
        assert!((log_sum_exp(&row) - (0.5 + 39f32.ln())).abs() < 1e-6);
        assert_eq!(log_sum_exp(&[1000.0f32, 1000.0]), 1000.0 + 2f32.ln());
    }
}
