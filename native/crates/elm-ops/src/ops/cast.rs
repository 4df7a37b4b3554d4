use elm_core::{AttrKind, DType, Fill, OpDef, TensorSpec, attr, input, sample};
use smallvec::smallvec;

use crate::rules::ANY_SAME;

pub static OPS: &[&OpDef] = &[&CAST];

static CAST: OpDef = OpDef {
    name: "cast",
    doc: "`x` in another dtype.\n\n\
          Every number rounds once to the nearest float, ties to even; a float becomes an integer by dropping its fraction, saturating at the \
          ends, NaN as 0; an integer that does not fit wraps; everything but 0 becomes `true`.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: all.",
    torch: "Tensor.to",
    numpy: "ndarray.astype",
    inputs: &[input("x")],
    attrs: &[attr::positional("dtype", AttrKind::DType, "The dtype of the result.")],
    infer: |call| Ok(smallvec![TensorSpec::new(call.attrs.dtype("dtype"), call.shape(0))]),
    signatures: ANY_SAME,
    samples: || {
        let to = |dtype| sample(&[&[3, 7]]).attr("dtype", elm_core::Attr::DType(dtype));
        // Beyond the ends of every integer, between its numbers, and NaN.
        const EDGES: &[f64] = &[
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            3.7,
            -3.7,
            0.5,
            -0.0,
            300.0,
            -300.0,
            7e4,
            5e9,
            -5e9,
            1e20,
            -1e20,
            1e-30,
            1.001_953_125,
        ];
        let edges = |dtype| to(dtype).fill(0, Fill::Values(EDGES)).dtypes(elm_core::FLOAT);
        let wide = |dtype| to(dtype).fill(0, Fill::Ints(-1000, 70_000));
        let long = |dtype| sample(&[&[17, 1100]]).attr("dtype", elm_core::Attr::DType(dtype));
        let all = DType::ALL.iter().flat_map(|&dtype| [to(dtype), edges(dtype), wide(dtype), long(dtype)]);
        all.chain(
            [sample(&[&[]]), sample(&[&[0, 3]])].map(|s| s.attr("dtype", elm_core::Attr::DType(DType::F32))),
        )
        .collect()
    },
    oracle: |call| {
        let (from, to) = (call.spec(0).dtype, call.attrs.dtype("dtype"));
        vec![call.values(0).iter().map(|&v| convert(v, from, to)).collect::<Vec<_>>().into()]
    },
    internal: true,
    ..OpDef::EMPTY
};

fn convert(value: f64, from: DType, to: DType) -> f64 {
    if !from.is_float() {
        return to.round(value);
    }
    match to {
        DType::I64 => value as i64 as f64,
        DType::I32 => f64::from(value as i32),
        DType::U32 => f64::from(value as u32),
        DType::I8 => f64::from(value as i8),
        DType::U8 => f64::from(value as u8),
        _ => to.round(value),
    }
}
