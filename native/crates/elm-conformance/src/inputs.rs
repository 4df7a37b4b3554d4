//! Values for samples, and the layouts in which they are handed to kernels.

use elm_core::{DType, Fill, Layout, SampleInput, Strides, bf16, elements, f16};
use elm_engine::{Env, Handle, Tensor};

/// How an input lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Placement {
    RowMajor,
    /// Axes stored in reverse order.
    Transposed,
    /// Every second element of the last axis of something larger, from an offset.
    Strided,
    /// The first axis runs backwards.
    Reversed,
}

pub const PLACEMENTS: [Placement; 4] =
    [Placement::RowMajor, Placement::Transposed, Placement::Strided, Placement::Reversed];

/// SplitMix64: a few lines, well mixed, the same everywhere.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    fn below(&mut self, n: i64) -> i64 {
        (self.next() % n.max(1) as u64) as i64
    }
}

/// Values of a sample input, rounded to `dtype`.
pub fn values(input: &SampleInput, dtype: DType, random: &mut Random) -> Vec<f64> {
    let count = elements(&input.shape);
    let last = input.shape.last().copied().unwrap_or(1).max(1);
    let raw: Vec<f64> = match input.fill {
        Fill::Uniform(low, high) if dtype.is_float() => {
            (0..count).map(|_| low + (high - low) * random.unit()).collect()
        }
        Fill::Uniform(low, _) => {
            let low = if low < 0.0 && dtype.is_signed() { -9 } else { i64::from(low > 0.0) };
            (0..count).map(|_| (low + random.below(10 - low)) as f64).collect()
        }
        Fill::Ints(low, high) => (0..count).map(|_| (low + random.below(high - low)) as f64).collect(),
        Fill::Bool => (0..count).map(|_| random.below(2) as f64).collect(),
        Fill::Constant(value) => vec![value; count],
        Fill::Permutation => {
            let mut order: Vec<f64> = (0..count).map(|i| i as f64).collect();
            (1..count).rev().for_each(|i| order.swap(i, random.below(i as i64 + 1) as usize));
            order
        }
        Fill::Values(list) => (0..count).map(|i| list[i % list.len()]).collect(),
        Fill::Documents => (0..count).map(|i| ((i % last) / 3) as f64).collect(),
    };
    raw.into_iter().map(|v| dtype.round(v)).collect()
}

pub fn encode(values: &[f64], dtype: DType) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * dtype.size());
    for &v in values {
        match dtype {
            DType::F64 => bytes.extend(v.to_le_bytes()),
            DType::F32 => bytes.extend((v as f32).to_le_bytes()),
            DType::BF16 => bytes.extend(bf16::from_f64(v).to_le_bytes()),
            DType::F16 => bytes.extend(f16::from_f64(v).to_le_bytes()),
            DType::I64 => bytes.extend((v as i64).to_le_bytes()),
            DType::I32 => bytes.extend((v as i32).to_le_bytes()),
            DType::U32 => bytes.extend((v as u32).to_le_bytes()),
            DType::I8 => bytes.extend((v as i8).to_le_bytes()),
            DType::U8 => bytes.push(v as u8),
            DType::Bool => bytes.push(u8::from(v != 0.0)),
        }
    }
    bytes
}

pub fn decode(bytes: &[u8], dtype: DType) -> Vec<f64> {
    fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.chunks_exact(N).map(|chunk| f(chunk.try_into().expect("chunks have N bytes"))).collect()
    }
    match dtype {
        DType::F64 => each(bytes, f64::from_le_bytes),
        DType::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
        DType::BF16 => each(bytes, |b| f64::from(bf16::from_le_bytes(b))),
        DType::F16 => each(bytes, |b| f64::from(f16::from_le_bytes(b))),
        DType::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        DType::I32 => each(bytes, |b| f64::from(i32::from_le_bytes(b))),
        DType::U32 => each(bytes, |b| f64::from(u32::from_le_bytes(b))),
        DType::I8 => each(bytes, |b| f64::from(i8::from_le_bytes(b))),
        DType::U8 | DType::Bool => each(bytes, |b: [u8; 1]| f64::from(b[0])),
    }
}

/// A tensor of `values` that lies as `placement` says.
pub fn place(
    env: &mut Env,
    device: u32,
    values: &[f64],
    dtype: DType,
    shape: &[usize],
    placement: Placement,
) -> Result<Handle, elm_core::OpError> {
    let (layout, size) = layout(shape, placement);
    // What lies between the elements must not matter: NaN or 77 would show.
    let mut memory = vec![if dtype.is_float() { f64::NAN } else { 77.0 }; size];
    for (flat, &value) in values.iter().enumerate() {
        memory[position(&layout, flat)] = value;
    }
    let base = env.write(device, dtype, &[size], &encode(&memory, dtype))?;
    let tensor = Tensor { layout, ..env.get(base)?.clone() };
    env.release(base, false);
    Ok(env.insert(tensor, "sample"))
}

fn layout(shape: &[usize], placement: Placement) -> (Layout, usize) {
    let dense = Layout::contiguous(shape);
    let count = elements(shape);
    match placement {
        Placement::RowMajor => (dense, count),
        Placement::Transposed => {
            let axes: Vec<usize> = (0..shape.len()).rev().collect();
            let reversed: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
            (Layout::contiguous(&reversed).permute(&axes), count)
        }
        Placement::Strided => {
            let strides: Strides = dense.strides.iter().map(|s| s * 2).collect();
            (Layout { strides, offset: 3, ..dense }, count * 2 + 3)
        }
        Placement::Reversed => {
            let mut layout = dense;
            if let (Some(&dim), Some(stride)) = (shape.first(), layout.strides.first_mut()) {
                layout.offset = (dim.saturating_sub(1) as isize * *stride) as usize;
                *stride = -*stride;
            }
            (layout, count)
        }
    }
}

/// Where the element of row-major number `flat` lies.
fn position(layout: &Layout, mut flat: usize) -> usize {
    let mut at = layout.offset as isize;
    for (&dim, &stride) in layout.shape.iter().zip(&layout.strides).rev() {
        at += (flat % dim) as isize * stride;
        flat /= dim;
    }
    at as usize
}
