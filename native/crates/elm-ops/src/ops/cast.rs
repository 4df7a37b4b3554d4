use elm_core::{AttrKind, DType, OpDef, TensorSpec, attr, input, sample};
use smallvec::smallvec;

use crate::rules::ANY_SAME;

pub static OPS: &[&OpDef] = &[&CAST];

static CAST: OpDef = OpDef {
    name: "cast",
    doc: "`x` in another dtype.\n\n\
          Floats round to nearest even; a float becomes an integer by dropping its fraction, saturating at the \
          ends, NaN as 0; everything but 0 becomes `true`.\n\nShapes: `x` and `y` are `[...]`. Dtypes: all.",
    torch: "Tensor.to",
    numpy: "ndarray.astype",
    inputs: &[input("x")],
    attrs: &[attr::positional("dtype", AttrKind::DType, "The dtype of the result.")],
    infer: |call| Ok(smallvec![TensorSpec::new(call.attrs.dtype("dtype"), call.shape(0))]),
    signatures: ANY_SAME,
    samples: || {
        let to = |dtype| sample(&[&[3, 7]]).attr("dtype", elm_core::Attr::DType(dtype));
        DType::ALL.iter().map(|&dtype| to(dtype)).collect()
    },
    oracle: |call| {
        let to = call.attrs.dtype("dtype");
        vec![call.values(0).iter().map(|&v| convert(v, to)).collect::<Vec<_>>().into()]
    },
    internal: true,
    ..OpDef::EMPTY
};

fn convert(value: f64, to: DType) -> f64 {
    match to {
        DType::U32 if value < 0.0 && value.fract() != 0.0 => 0.0,
        DType::U32 => f64::from(value as i64 as u32),
        _ => to.round(value),
    }
}
