use elm_core::{
    DType, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Signature, Specs, attr, input, sample,
};
use smallvec::smallvec;

use crate::quantized::{BITS, GROUP, Packing};

pub static OPS: &[&OpDef] = &[&QUANTIZED_MATMUL];

use DType::{BF16, F16, F32, F64, U32};

/// Scales and biases of each dtype for each dtype of `x`.
const SIGNATURES: &[Signature] = &[
    &[F64, U32, F32, F32],
    &[F64, U32, BF16, BF16],
    &[F64, U32, F16, F16],
    &[F32, U32, F32, F32],
    &[F32, U32, BF16, BF16],
    &[F32, U32, F16, F16],
    &[BF16, U32, F32, F32],
    &[BF16, U32, BF16, BF16],
    &[BF16, U32, F16, F16],
    &[F16, U32, F32, F32],
    &[F16, U32, BF16, BF16],
    &[F16, U32, F16, F16],
];

static QUANTIZED_MATMUL: OpDef = OpDef {
    name: "quantized_matmul",
    doc: "Product with a quantized matrix: `y = x · Wᵀ`, or `y = x · W` if not `transpose`, with \
          `W = scale · q + bias` in f32 as `dequantize` has it.\n\n\
          Shapes: with `W` `[rows, dim]`, `codes` is `[rows, dim · bits / 32]` (u32), `scales` and `biases` are \
          `[rows, dim / group]`; `x` is `[..., dim]` and `y` `[..., rows]`, or the other way round if not \
          `transpose`.\n\
          Dtypes: `x` a float, which `y` has too; `scales` and `biases` f32, bf16 or f16. Sums are in f32 (f64 for f64) \
          and round once; for up to 16 rows of `x` their order does not depend on the number of rows.\n\n\
          The gradient is that of `x`; weights in codes are not trained.",
    inputs: &[input("x"), input("codes"), input("scales").index(), input("biases").index()],
    attrs: &[
        BITS,
        GROUP,
        attr::bool("transpose", true, "Whether `x` meets the rows of `W`, not its columns."),
    ],
    infer,
    signatures: SIGNATURES,
    samples: || {
        let make = |lead: &[usize], [rows, dim]: [usize; 2], [bits, group]: [usize; 2], transpose: bool| {
            let x: Vec<usize> = lead.iter().copied().chain([if transpose { dim } else { rows }]).collect();
            sample(&[&x, &[rows, dim * bits / 32], &[rows, dim / group], &[rows, dim / group]])
                .fill(1, Fill::Ints(0, 1 << 32))
                .fill(2, Fill::Uniform(-0.1, 0.1))
                .int("bits", bits as i64)
                .int("group", group as i64)
                .bool("transpose", transpose)
        };
        let mut samples = Vec::new();
        for transpose in [true, false] {
            for bits in 2..=8 {
                samples.push(make(&[3], [5, 192], [bits, 64], transpose));
            }
            samples.extend([
                make(&[], [7, 32], [4, 32], transpose),
                make(&[0], [3, 64], [4, 64], transpose),
                make(&[2], [0, 64], [4, 64], transpose),
                make(&[2], [3, 0], [4, 64], transpose),
                make(&[1], [130, 160], [8, 32], transpose),
                make(&[2, 3], [67, 384], [4, 128], transpose),
                make(&[16], [9, 256], [8, 128], transpose),
                make(&[17], [33, 96], [4, 32], transpose),
                make(&[40], [150, 640], [8, 64], transpose),
                make(&[5, 9], [70, 128], [3, 64], transpose),
            ]);
        }
        samples
    },
    oracle,
    ..OpDef::EMPTY
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    let packing = Packing::check(call)?;
    call.require_rank(1, 2)?;
    let (rows, dim) = (call.shape(1)[0], packing.row(call, 1)?);
    let [inner, outer] = if call.attrs.bool("transpose") { [dim, rows] } else { [rows, dim] };
    let got = call.last_dim(0)?;
    if got != inner {
        return Err(call.shape_error(format!(
            "the last axis of x must be {inner} for a quantized matrix of shape [{rows}, {dim}], got {got}"
        )));
    }
    let mut y = call.arg(0).spec();
    *y.shape.last_mut().expect("it has a last axis") = outer;
    Ok(smallvec![y])
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let packing = Packing::of(call.attrs);
    let transpose = call.attrs.bool("transpose");
    let (rows, dim) = (call.shape(1)[0], call.shape(1)[1] / packing.bits * 32);
    let w = packing.dequantize(dim, call.values(1), call.values(2), call.values(3));
    let [inner, outer] = if transpose { [dim, rows] } else { [rows, dim] };
    let at = |k: usize, j: usize| f64::from(if transpose { w[j * dim + k] } else { w[k * dim + j] });
    let lines = call.shape(0)[..call.shape(0).len() - 1].iter().product();
    let (mut values, mut magnitudes) = (Vec::new(), Vec::new());
    for (i, j) in (0..lines).flat_map(|i| (0..outer).map(move |j| (i, j))) {
        let terms = (0..inner).map(|k| call.values(0)[i * inner + k] * at(k, j));
        values.push(terms.clone().sum());
        magnitudes.push(terms.map(f64::abs).sum());
    }
    vec![OracleOutput { values, magnitudes: Some(magnitudes) }]
}
