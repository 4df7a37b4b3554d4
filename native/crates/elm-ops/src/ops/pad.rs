use elm_core::{AttrKind, ErrorCode, Infer, OpDef, OpError, Specs, TensorSpec, attr, input, sample};
use smallvec::smallvec;

use super::creation::require_fits;
use crate::rules::{ANY_SAME, flatten, indices};

pub static OPS: &[&OpDef] = &[&PAD];

static PAD: OpDef = OpDef {
    name: "pad",
    doc: "`x` with elements of one value before and after each axis.\n\n\
          Shapes: axis `i` of `y` has `pads[2i] + x.shape[i] + pads[2i + 1]` elements. Dtypes: all.",
    torch: "nn.functional.pad",
    numpy: "pad",
    inputs: &[input("x")],
    attrs: &[
        attr::positional(
            "pads",
            AttrKind::Ints,
            "`[before, after]` of the first axis, of the second, and so on.",
        ),
        attr::f64("value", 0.0, "What the new elements are."),
    ],
    infer,
    signatures: ANY_SAME,
    samples: || {
        let by = |shape: &[usize], pads: &[i64]| sample(&[shape]).ints("pads", pads);
        vec![
            by(&[], &[]),
            by(&[5], &[0, 0]),
            by(&[5], &[2, 3]).f64("value", 1.0),
            by(&[0, 3], &[1, 0, 0, 2]).f64("value", 1.0),
            by(&[2, 5], &[1, 0, 0, 3]),
            by(&[2, 3, 4], &[0, 1, 2, 0, 0, 0]).f64("value", 1.0),
            by(&[33, 70], &[1, 1, 1, 1]),
        ]
    },
    oracle: |call| {
        let (x, pads) = (call.shape(0), call.attrs.ints("pads"));
        let value = |index: elm_core::Shape| {
            let from: Option<Vec<usize>> = (0..x.len())
                .map(|axis| index[axis].checked_sub(pads[2 * axis] as usize).filter(|&i| i < x[axis]))
                .collect();
            from.map_or(call.attrs.f64("value"), |from| call.values(0)[flatten(&from, x)])
        };
        vec![indices(&call.outputs[0].shape).map(value).collect::<Vec<_>>().into()]
    },
    ..OpDef::EMPTY
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    let (x, pads) = (call.shape(0), call.dims("pads")?);
    if pads.len() != 2 * x.len() {
        let message =
            format!("pads must hold two numbers an axis, {} in all, got {}", 2 * x.len(), pads.len());
        return Err(call.error(ErrorCode::InvalidArgument, message));
    }
    require_fits(call, "value", call.dtype(0))?;
    let shape = x.iter().enumerate().map(|(axis, dim)| pads[2 * axis] + dim + pads[2 * axis + 1]).collect();
    Ok(smallvec![TensorSpec { dtype: call.dtype(0), shape }])
}
