use half::{bf16, f16};

use crate::level::Level;
use crate::micro::{Kernel, Word};

/// An element type that can be multiplied.
pub trait Operand: Copy + Send + Sync + 'static {
    /// The type of sums of products.
    type Sum: Word + Output<Sum = Self::Sum>;
    fn widen(self) -> Self::Sum;
    /// The micro-kernel that multiplies pairs of elements as they are, where the type and the level have one.
    fn pair_kernel(_: Level) -> Option<Kernel<u32, Self::Sum>> {
        None
    }
    /// Sixteen bits as they lie; only asked of a type with a pair kernel.
    fn bits16(self) -> u16 {
        unreachable!("only bf16 is packed in pairs")
    }
    /// Eight elements behind each other as f32 in a vector, where there is a fast way.
    ///
    /// # Safety
    /// The elements are readable.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load8(_: *const Self) -> std::arch::x86_64::__m256 {
        unreachable!("only f32 and half precision are loaded in vectors")
    }
}

/// An element type that sums are stored as.
pub trait Output: Copy + Send + Sync + 'static {
    type Sum: Copy;
    /// Whether sums are stored as they are; else each is rounded once, when it is complete.
    const IS_SUM: bool;
    fn round(sum: Self::Sum) -> Self;
}

macro_rules! wide {
    ($T:ty $(, $load:item)?) => {
        impl Operand for $T {
            type Sum = $T;
            #[inline(always)]
            fn widen(self) -> $T {
                self
            }
            $($load)?
        }
        impl Output for $T {
            type Sum = $T;
            const IS_SUM: bool = true;
            #[inline(always)]
            fn round(sum: $T) -> $T {
                sum
            }
        }
    };
}

wide!(f64);
wide!(
    f32,
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load8(from: *const f32) -> std::arch::x86_64::__m256 {
        // SAFETY: the caller's promise.
        unsafe { crate::x86::load8_f32(from) }
    }
);

impl Operand for bf16 {
    type Sum = f32;
    #[cfg(target_arch = "x86_64")]
    fn pair_kernel(level: Level) -> Option<Kernel<u32, f32>> {
        (level == Level::Avx512Bf16).then_some(crate::x86::AVX512_BF16)
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn bits16(self) -> u16 {
        self.to_bits()
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load8(from: *const bf16) -> std::arch::x86_64::__m256 {
        // SAFETY: the caller's promise.
        unsafe { crate::x86::load8_bf16(from) }
    }
}

impl Operand for f16 {
    type Sum = f32;
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load8(from: *const f16) -> std::arch::x86_64::__m256 {
        // SAFETY: the caller's promise.
        unsafe { crate::x86::load8_f16(from) }
    }
}

impl Output for bf16 {
    type Sum = f32;
    const IS_SUM: bool = false;
    #[inline(always)]
    fn round(sum: f32) -> bf16 {
        // As `bf16::from_f32`, without its branch: to the nearest, ties to even, a NaN stays a quiet NaN.
        let bits = sum.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let nan = (bits >> 16) | 0x40;
        bf16::from_bits(if sum.is_nan() { nan } else { rounded } as u16)
    }
}

impl Output for f16 {
    type Sum = f32;
    const IS_SUM: bool = false;
    #[inline(always)]
    fn round(sum: f32) -> f16 {
        f16::from_f32(sum)
    }
}
