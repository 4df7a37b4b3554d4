use std::fmt;

/// The type of one element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DType {
    F64,
    F32,
    BF16,
    F16,
    I64,
    I32,
    U32,
    I8,
    U8,
    Bool,
}

use DType::{BF16, Bool, F16, F32, F64, I8, I32, I64, U8, U32};

/// Dtypes with a gradient.
pub const FLOAT: &[DType] = &[F64, F32, BF16, F16];
/// Integers, without `bool`.
pub const INT: &[DType] = &[I64, I32, U32, I8, U8];
/// All that can be added.
pub const NUMERIC: &[DType] = &[F64, F32, BF16, F16, I64, I32, U32, I8, U8];
/// What kernels accept as an index.
pub const INDEX: &[DType] = &[I32];

impl DType {
    pub const ALL: &'static [DType] = &[F64, F32, BF16, F16, I64, I32, U32, I8, U8, Bool];

    pub fn from_index(index: usize) -> Option<DType> {
        DType::ALL.get(index).copied()
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            F64 | I64 => 8,
            F32 | I32 | U32 => 4,
            BF16 | F16 => 2,
            I8 | U8 | Bool => 1,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            F64 => "f64",
            F32 => "f32",
            BF16 => "bf16",
            F16 => "f16",
            I64 => "i64",
            I32 => "i32",
            U32 => "u32",
            I8 => "i8",
            U8 => "u8",
            Bool => "bool",
        }
    }

    pub const fn is_float(self) -> bool {
        matches!(self, F64 | F32 | BF16 | F16)
    }

    pub const fn is_signed(self) -> bool {
        !matches!(self, U32 | U8 | Bool)
    }

    /// The dtype that sums of this one are kept in.
    pub const fn accumulator(self) -> DType {
        match self {
            F64 => F64,
            F32 | BF16 | F16 => F32,
            _ => I64,
        }
    }

    /// Distance from 1 to the next number, 0 for exact dtypes.
    pub const fn epsilon(self) -> f64 {
        match self {
            F64 => f64::EPSILON,
            F32 => f32::EPSILON as f64,
            BF16 => 0.007_812_5,
            F16 => 0.000_976_562_5,
            _ => 0.0,
        }
    }

    /// `value` as this dtype holds it: rounded to nearest even, integers wrapped, `bool` as 0 or 1.
    pub fn round(self, value: f64) -> f64 {
        match self {
            F64 => value,
            F32 => f64::from(value as f32),
            BF16 => f64::from(crate::bf16::from_f64(value)),
            F16 => f64::from(crate::f16::from_f64(value)),
            I64 => value as i64 as f64,
            I32 => f64::from(value as i64 as i32),
            U32 => f64::from(value as i64 as u32),
            I8 => f64::from(value as i64 as i8),
            U8 => f64::from(value as i64 as u8),
            Bool => f64::from(u8::from(value != 0.0)),
        }
    }
}

impl fmt::Debug for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
