use elm_core::{
    AttrKind, DType, Default, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Sample, Signature,
    Specs, TensorSpec, attr, input, public, sample,
};
use smallvec::smallvec;

use crate::quantized::{BITS, GROUP, Packing, SCALES};

pub static OPS: &[&OpDef] = &[&QUANTIZE, &DEQUANTIZE];

use DType::{BF16, F16, F32, U32};

static QUANTIZE: OpDef = OpDef {
    name: "quantize",
    doc: "Weights as whole numbers of a few bits with a scale and a bias a group: `w ≈ scale · q + bias`.\n\n\
          Of each group along the last axis, with `lo` and `hi` its extremes and `n = 2^bits − 1`: \
          `scale = max((hi − lo) / n, 1e-7)`, negated unless `|lo| > |hi|`; `edge` is the extreme of larger \
          magnitude, `q₀ = round(edge / scale)`; if `q₀ ≠ 0` then `scale = edge / q₀` and `bias = edge`, else \
          `bias = 0`; `q = clamp(round((w − bias) / scale), 0, n)`. All of it in f32, ties to even; `scale` and \
          `bias` are rounded to the dtype of `w` last.\n\n\
          Shapes: `w` is `[..., dim]`, `codes` (u32) `[..., dim · bits / 32]`, a little-endian bit stream; `scales` \
          and `biases` are `[..., dim / group]`. Dtypes: f32, bf16, f16. The layout and the bits are those of MLX.",
    inputs: &[input("w")],
    attrs: &[BITS, GROUP],
    outputs: &[public("codes"), public("scales"), public("biases")],
    infer: infer_quantize,
    signatures: &[&[F32], &[BF16], &[F16]],
    samples: || {
        let make =
            |shape: &[usize], bits: i64, group: i64| sample(&[shape]).int("bits", bits).int("group", group);
        let mut samples: Vec<Sample> = (2..=8).map(|bits| make(&[3, 128], bits, 64)).collect();
        samples.extend([
            make(&[32], 4, 32),
            make(&[0, 64], 4, 64),
            make(&[2, 0], 4, 64),
            make(&[2, 3, 256], 8, 128),
            make(&[70, 288], 4, 32),
            make(&[5, 64], 4, 64).fill(0, Fill::Constant(0.0)),
            make(&[5, 64], 8, 64).fill(0, Fill::Constant(0.75)),
            make(&[5, 64], 3, 64).fill(0, Fill::Uniform(1.0, 3.0)),
            make(&[5, 64], 3, 64).fill(0, Fill::Uniform(-3.0, -1.0)),
            make(&[4, 96], 4, 32).fill(0, Fill::Uniform(-1e-6, 1e-6)),
            // Numbers that lie between two codes.
            make(&[4, 96], 4, 32).fill(0, Fill::Values(&[-7.5, 7.5, 0.5, 1.5, -0.5, 2.5, 3.0])),
        ]);
        samples
    },
    oracle: oracle_quantize,
    differentiable: false,
    ..OpDef::EMPTY
};

fn infer_quantize(call: &Infer) -> Result<Specs, OpError> {
    let packing = Packing::check(call)?;
    let dim = call.last_dim(0)?;
    if !dim.is_multiple_of(packing.group) {
        let message = format!("the last axis of w must be a multiple of group {}, got {dim}", packing.group);
        return Err(call.shape_error(message));
    }
    let with_last = |dtype, last| {
        let mut spec = TensorSpec::new(dtype, call.shape(0));
        *spec.shape.last_mut().expect("it has a last axis") = last;
        spec
    };
    let groups = with_last(call.dtype(0), dim / packing.group);
    Ok(smallvec![with_last(U32, dim * packing.bits / 32), groups.clone(), groups])
}

fn oracle_quantize(call: &OracleCall) -> Vec<OracleOutput> {
    let packing = Packing::of(call.attrs);
    let most = ((1 << packing.bits) - 1) as f32;
    let (mut codes, mut scales, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    let weights: Vec<f32> = call.values(0).iter().map(|&w| w as f32).collect();
    for group in weights.chunks_exact(packing.group) {
        let low = group.iter().copied().fold(f32::INFINITY, f32::min);
        let high = group.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let is_low = low.abs() > high.abs();
        let step = ((high - low) / most).max(1e-7);
        let (mut scale, edge) = if is_low { (step, low) } else { (-step, high) };
        let at_edge = (edge / scale).round_ties_even();
        let mut bias = 0.0;
        if at_edge != 0.0 {
            (scale, bias) = (edge / at_edge, edge);
        }
        let code = |w: &f32| ((w - bias) / scale).round_ties_even().clamp(0.0, most) as u32;
        let group: Vec<u32> = group.iter().map(code).collect();
        codes.extend(packing.pack(&group).into_iter().map(f64::from));
        scales.push(f64::from(scale));
        biases.push(f64::from(bias));
    }
    vec![codes.into(), scales.into(), biases.into()]
}

/// Codes with scales and biases of each dtype.
const SIGNATURES: &[Signature] = &[&[U32, F32, F32], &[U32, BF16, BF16], &[U32, F16, F16]];

static DEQUANTIZE: OpDef = OpDef {
    name: "dequantize",
    doc: "What `quantize` stands for: `w = scale · q + bias`, one fused step in f32, rounded once to `dtype`.\n\n\
          Shapes: `codes` is `[..., dim · bits / 32]` (u32), `scales` and `biases` are `[..., dim / group]`, `w` is \
          `[..., dim]`. Dtypes: `scales` and `biases` f32, bf16 or f16.",
    inputs: &[input("codes"), input("scales").index(), input("biases").index()],
    attrs: &[
        BITS,
        GROUP,
        attr::new(
            "dtype",
            AttrKind::DType,
            Default::Absent,
            "Dtype of `w`: f32, bf16 or f16. Default: that of `scales`.",
        ),
    ],
    outputs: &[public("w")],
    infer: |call| {
        let numbers = Packing::check(call)?.row(call, 0)?;
        let own = call.dtype(1);
        let dtype = if call.attrs.is_given("dtype") { call.attrs.dtype("dtype") } else { own };
        if !SCALES.contains(&dtype) {
            let message = format!("dtype must be f32, bf16 or f16, got {dtype}");
            return Err(call.error(elm_core::ErrorCode::DtypeMismatch, message));
        }
        let mut w = TensorSpec::new(dtype, call.shape(0));
        *w.shape.last_mut().expect("it has a last axis") = numbers;
        Ok(smallvec![w])
    },
    signatures: SIGNATURES,
    samples: || {
        let mut samples: Vec<Sample> = (2..=8).map(|bits| packed(&[3], 128, bits, 64)).collect();
        samples.extend([packed(&[], 32, 4, 32), packed(&[0], 64, 4, 64), packed(&[2], 0, 4, 64)]);
        samples.extend([packed(&[2, 3], 256, 8, 128), packed(&[70], 288, 4, 32)]);
        let to = elm_core::Attr::DType;
        samples.extend([F32, BF16, F16].map(|dtype| packed(&[5], 96, 4, 32).attr("dtype", to(dtype))));
        samples
    },
    oracle: |call| {
        let packing = Packing::of(call.attrs);
        let numbers = *call.outputs[0].shape.last().expect("it has a last axis");
        let w = packing.dequantize(numbers, call.values(0), call.values(1), call.values(2));
        vec![w.into_iter().map(f64::from).collect::<Vec<_>>().into()]
    },
    differentiable: false,
    ..OpDef::EMPTY
};

/// Codes, scales and biases of rows of `dim` numbers.
fn packed(lead: &[usize], dim: usize, bits: usize, group: usize) -> Sample {
    let shape = |last: usize| lead.iter().copied().chain([last]).collect::<Vec<_>>();
    sample(&[&shape(dim * bits / 32), &shape(dim / group), &shape(dim / group)])
        .fill(0, Fill::Ints(0, 1 << 32))
        .int("bits", bits as i64)
        .int("group", group as i64)
}
