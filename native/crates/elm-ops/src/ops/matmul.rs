use elm_core::{
    Attr, AttrKind, Autocast, DType, Default, Infer, OpDef, OpError, OracleCall, OracleOutput, Promotion,
    Shape, Specs, TensorSpec, attr, input, sample,
};
use smallvec::smallvec;

use crate::rules::{FLOAT_SAME, indices};

pub static OPS: &[&OpDef] = &[&MATMUL];

static MATMUL: OpDef = OpDef {
    name: "matmul",
    doc: "Matrix product over the last two axes: `y[…, i, j] = Σₖ a[…, i, k] · b[…, k, j]`.\n\n\
          Shapes: `a` is `[..., m, k]`, `b` is `[..., k, n]`, `y` is `[..., m, n]`; leading axes broadcast.\n\
          Dtypes: f64, f32, bf16, f16; half precision accumulates in f32 and rounds once.",
    torch: "matmul",
    numpy: "matmul",
    inputs: &[input("a"), input("b")],
    attrs: &[attr::new(
        "out_dtype",
        AttrKind::DType,
        Default::Absent,
        "Dtype of the result: that of the inputs, or `\"f32\"` for half-precision inputs.",
    )],
    infer,
    signatures: FLOAT_SAME,
    samples: || {
        let mut samples: Vec<_> = [
            [&[1usize, 1][..], &[1, 1]],
            [&[0, 4], &[4, 3]],
            [&[3, 0], &[0, 2]],
            [&[7, 33], &[33, 19]],
            [&[1, 64], &[64, 48]],
            [&[8, 100], &[100, 1]],
            [&[2, 3, 5, 4], &[2, 1, 4, 6]],
            [&[3, 5, 4], &[4, 6]],
            [&[65, 130], &[130, 67]],
            [&[513, 40], &[40, 515]],
            [&[16, 300], &[300, 130]],
            [&[17, 300], &[300, 129]],
            [&[2, 5, 96], &[96, 50]],
            [&[190, 701], &[701, 210]],
            [&[4, 9, 64], &[4, 64, 33]],
            [&[1, 3, 4], &[5, 4, 2]],
        ]
        .iter()
        .map(|pair| sample(pair))
        .collect();
        let to_f32 = sample(&[&[5, 9], &[9, 3]]).attr("out_dtype", Attr::DType(DType::F32));
        samples.push(to_f32.dtypes(&[DType::BF16, DType::F16, DType::F32]));
        samples
    },
    oracle,
    promotion: Promotion::None,
    autocast: Autocast::Lower,
    ..OpDef::EMPTY
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    let (a, b) = (call.shape(0), call.shape(1));
    if a.len() < 2 || b.len() < 2 {
        return Err(call.shape_error("a and b must have at least two axes; use reshape for vectors"));
    }
    let [m, k] = [a[a.len() - 2], a[a.len() - 1]];
    let [inner, n] = [b[b.len() - 2], b[b.len() - 1]];
    if k != inner {
        return Err(call.shape_error(format!(
            "the last axis of a must equal the second to last of b, got {k} and {inner}"
        )));
    }
    let mut shape = batch(call, &a[..a.len() - 2], &b[..b.len() - 2])?;
    shape.extend([m, n]);
    let own = call.dtype(0);
    let dtype = if call.attrs.is_given("out_dtype") { call.attrs.dtype("out_dtype") } else { own };
    if dtype != own && !(dtype == DType::F32 && own.size() == 2) {
        return Err(call.error(
            elm_core::ErrorCode::DtypeMismatch,
            format!("out_dtype must be {own} or, for half-precision inputs, f32; got {dtype}"),
        ));
    }
    Ok(smallvec![TensorSpec { dtype, shape }])
}

fn batch(call: &Infer, a: &[usize], b: &[usize]) -> Result<Shape, OpError> {
    let rank = a.len().max(b.len());
    let dim = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|axis| match (dim(a, axis), dim(b, axis)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            (x, y) => Err(call.shape_error(format!("leading axes must be equal or 1, got {x} and {y}"))),
        })
        .collect()
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let shape = &call.outputs[0].shape;
    let (batch, [m, n]) = (&shape[..shape.len() - 2], [shape[shape.len() - 2], shape[shape.len() - 1]]);
    let k = *call.shape(0).last().expect("the shape rule wants matrices");
    // Where the matrix for a batch index starts in an input whose leading axes may be 1 or missing.
    let start = |input: usize, index: &[usize]| {
        let own = &call.shape(input)[..call.shape(input).len() - 2];
        let lead = batch.len() - own.len();
        let matrix =
            (0..own.len()).fold(0, |flat, axis| flat * own[axis] + index[lead + axis].min(own[axis] - 1));
        let matrices: usize = own.iter().product();
        matrix * call.values(input).len().checked_div(matrices).unwrap_or(0)
    };
    let (mut values, mut magnitudes) = (Vec::new(), Vec::new());
    for index in indices(batch) {
        let (a, b) = (&call.values(0)[start(0, &index)..], &call.values(1)[start(1, &index)..]);
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let terms = (0..k).map(|c| a[i * k + c] * b[c * n + j]);
            values.push(terms.clone().sum());
            magnitudes.push(terms.map(f64::abs).sum());
        }
    }
    vec![OracleOutput { values, magnitudes: Some(magnitudes) }]
}
