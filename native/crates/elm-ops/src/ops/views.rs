//! Schemas of the ops that look at a storage in another way. Only `reshape` may copy.

use elm_core::{
    AttrKind, ErrorCode, Infer, Layout, OpDef, OpError, OracleCall, OracleOutput, Shape, TensorSpec, attr,
    input, sample,
};
use smallvec::smallvec;

use crate::rules::{ANY_SAME, flatten, indices};

pub static OPS: &[&OpDef] = &[&RESHAPE, &VIEW, &PERMUTE, &BROADCAST_TO, &SLICE];

const VIEW_OP: OpDef = OpDef { inputs: &[input("x")], signatures: ANY_SAME, ..OpDef::EMPTY };

static RESHAPE: OpDef = OpDef {
    name: "reshape",
    doc: "The elements of `x` in row-major order under another shape.\n\n\
          A view of `x` where its strides allow one, else a copy. One size may be -1: it follows from the others.\n\n\
          Shapes: `x` and `y` have equally many elements. Dtypes: all.",
    torch: "reshape",
    numpy: "reshape",
    attrs: &[attr::positional("shape", AttrKind::Ints, "The new shape; one size may be -1.")],
    infer: |call| Ok(smallvec![TensorSpec { dtype: call.dtype(0), shape: reshaped(call)? }]),
    view: Some(|call| Ok(call.arg(0).layout.reshape(&reshaped(call)?))),
    samples: || {
        let to = |from: &[usize], shape: &[i64]| sample(&[from]).ints("shape", shape);
        vec![
            to(&[], &[]),
            to(&[], &[1, 1]),
            to(&[1], &[]),
            to(&[0, 3], &[5, 0]),
            to(&[0, 3], &[-1, 3]),
            to(&[2, 3, 5], &[6, -1]),
            to(&[2, 3, 5], &[-1]),
            to(&[4, 6, 5], &[2, 2, 3, 10]),
            to(&[130, 34], &[34, 130]),
        ]
    },
    oracle: |call| vec![call.values(0).to_vec().into()],
    ..VIEW_OP
};

static VIEW: OpDef = OpDef {
    name: "view",
    doc: "The elements of `x` in row-major order under another shape, never copied.\n\n\
          Refuses where the strides of `x` cannot express it.\n\n\
          Shapes: `x` and `y` have equally many elements; one size may be -1. Dtypes: all.",
    torch: "Tensor.view",
    attrs: &[attr::positional("shape", AttrKind::Ints, "The new shape; one size may be -1.")],
    infer: |call| Ok(smallvec![TensorSpec { dtype: call.dtype(0), shape: reshaped(call)? }]),
    view: Some(|call| {
        let shape = reshaped(call)?;
        let layout = call.arg(0).layout;
        let strides = layout.strides.as_slice();
        layout.reshape(&shape).map(Some).ok_or_else(|| {
            call.shape_error(format!(
                "x with strides {strides:?} cannot be viewed as {shape:?}; use reshape, which copies where it must"
            ))
        })
    }),
    // Axes are only split, added and dropped: that works with any strides.
    samples: || {
        let to = |from: &[usize], shape: &[i64]| sample(&[from]).ints("shape", shape);
        vec![
            to(&[], &[1, 1]),
            to(&[6], &[-1, 3]),
            to(&[0, 3], &[7, 0, 2]),
            to(&[3, 5], &[1, 3, 1, 5, 1]),
            to(&[1, 4, 1], &[4]),
            to(&[4, 6], &[2, 2, 3, -1]),
        ]
    },
    oracle: |call| vec![call.values(0).to_vec().into()],
    internal: true,
    ..VIEW_OP
};

/// The attribute `shape` with its -1 filled in.
fn reshaped(call: &Infer) -> Result<Shape, OpError> {
    let (wanted, elements) = (call.attrs.ints("shape"), call.arg(0).layout.elements());
    let mismatch = || call.shape_error(format!("x with {elements} elements cannot take shape {wanted:?}"));
    let open = wanted.iter().filter(|&&dim| dim == -1).count();
    if open > 1 || wanted.iter().any(|&dim| dim < -1) {
        let message = format!("shape may hold sizes and a single -1, got {wanted:?}");
        return Err(call.error(ErrorCode::InvalidArgument, message));
    }
    let known = wanted
        .iter()
        .filter(|&&dim| dim != -1)
        .try_fold(1usize, |product, &dim| product.checked_mul(dim as usize))
        .ok_or_else(mismatch)?;
    if open == 1 && (known == 0 || elements % known != 0) || open == 0 && known != elements {
        return Err(mismatch());
    }
    Ok(wanted.iter().map(|&dim| if dim == -1 { elements / known } else { dim as usize }).collect())
}

static PERMUTE: OpDef = OpDef {
    name: "permute",
    doc: "A view of `x` with its axes in another order: axis `i` of `y` is axis `axes[i]` of `x`.\n\n\
          Shapes: `x` is `[...]`, `axes` names each of its axes once, negative ones from the end. Dtypes: all.",
    torch: "permute",
    numpy: "transpose",
    attrs: &[attr::positional("axes", AttrKind::Ints, "The axes of `x` in their new order.")],
    infer: |call| Ok(smallvec![permuted(call)?.1]),
    view: Some(|call| Ok(Some(call.arg(0).layout.permute(&permuted(call)?.0)))),
    samples: || {
        let by = |shape: &[usize], axes: &[i64]| sample(&[shape]).ints("axes", axes);
        vec![
            by(&[], &[]),
            by(&[0, 4], &[1, 0]),
            by(&[7], &[-1]),
            by(&[3, 5], &[1, 0]),
            by(&[2, 3, 4, 5], &[0, 2, 1, 3]),
            by(&[2, 3, 4], &[-1, 0, 1]),
        ]
    },
    oracle: |call| {
        let (x, shape) = (call.shape(0), &call.outputs[0].shape);
        let axes = call.attrs.ints("axes").iter().map(|axis| axis.rem_euclid(x.len() as i64) as usize);
        let axes: Vec<usize> = axes.collect();
        gather(call, shape, |index, from| axes.iter().zip(index).for_each(|(&axis, &i)| from[axis] = i))
    },
    ..VIEW_OP
};

/// The checked axes, and what comes out.
fn permuted(call: &Infer) -> Result<(Shape, TensorSpec), OpError> {
    let (wanted, x) = (call.attrs.ints("axes"), call.shape(0));
    let rank = x.len();
    if wanted.len() != rank {
        let message = format!("axes must name each of the {rank} axes of x once, got {wanted:?}");
        return Err(call.error(ErrorCode::InvalidArgument, message));
    }
    call.axes("axes", rank)?;
    let wrap = |&axis: &i64| (if axis < 0 { axis + rank as i64 } else { axis }) as usize;
    let axes: Shape = wanted.iter().map(wrap).collect();
    let shape = axes.iter().map(|&axis| x[axis]).collect();
    Ok((axes, TensorSpec { dtype: call.dtype(0), shape }))
}

static BROADCAST_TO: OpDef = OpDef {
    name: "broadcast_to",
    doc: "A view of `x` in which new axes and axes of size 1 repeat.\n\n\
          Shapes: the last axes of `shape` are those of `x`, or anything where `x` has size 1; -1 keeps an axis of \
          `x`. Dtypes: all.",
    torch: "broadcast_to",
    numpy: "broadcast_to",
    attrs: &[attr::positional("shape", AttrKind::Ints, "The new shape; -1 keeps the size of an axis.")],
    infer: |call| Ok(smallvec![TensorSpec { dtype: call.dtype(0), shape: broadcast(call)?.shape }]),
    view: Some(|call| broadcast(call).map(Some)),
    samples: || {
        let to = |from: &[usize], shape: &[i64]| sample(&[from]).ints("shape", shape);
        vec![
            to(&[], &[]),
            to(&[], &[2, 3]),
            to(&[0, 1], &[2, -1, 4]),
            to(&[1, 3], &[0, 3]),
            to(&[3, 1], &[2, -1, 4]),
            to(&[1, 5], &[7, -1]),
            to(&[2, 3], &[2, 3]),
        ]
    },
    oracle: |call| {
        let (x, shape) = (call.shape(0), &call.outputs[0].shape);
        let lead = shape.len() - x.len();
        gather(call, shape, |index, from| {
            (0..x.len()).for_each(|axis| from[axis] = if x[axis] == 1 { 0 } else { index[lead + axis] });
        })
    },
    ..VIEW_OP
};

fn broadcast(call: &Infer) -> Result<Layout, OpError> {
    let (wanted, x) = (call.attrs.ints("shape"), call.arg(0).layout);
    let refuse = || {
        let from = x.shape.as_slice();
        call.shape_error(format!(
            "x with shape {from:?} does not broadcast to {wanted:?}; counted from the last, each axis must be equal, \
             -1, or 1 in x"
        ))
    };
    let lead = wanted.len().checked_sub(x.rank()).ok_or_else(refuse)?;
    let dims = wanted.iter().enumerate().map(|(axis, &dim)| match usize::try_from(dim) {
        Ok(dim) => Ok(dim),
        Err(_) if dim == -1 && axis >= lead => Ok(x.shape[axis - lead]),
        Err(_) => Err(refuse()),
    });
    let shape: Shape = dims.collect::<Result<_, _>>()?;
    let countable = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
    if countable.is_none_or(|elements| elements > isize::MAX as usize / 8) {
        return Err(call.shape_error(format!("a tensor of shape {wanted:?} has more elements than memory")));
    }
    x.broadcast_to(&shape).ok_or_else(refuse)
}

static SLICE: OpDef = OpDef {
    name: "slice",
    doc: "A view of every axis' `sizes` elements from `starts` on, `steps` apart.\n\n\
          Shapes: `starts`, `sizes` and `steps` hold a number for each axis of `x`; `y` has shape `sizes`. Steps may \
          be negative. Dtypes: all.",
    attrs: &[
        attr::required("starts", AttrKind::Ints, "Index of the first element of each axis, not negative."),
        attr::required("sizes", AttrKind::Ints, "Elements of each axis of the result."),
        attr::required(
            "steps",
            AttrKind::Ints,
            "Distance of neighbours on each axis; negative runs backwards.",
        ),
    ],
    infer: |call| Ok(smallvec![TensorSpec { dtype: call.dtype(0), shape: sliced(call)?.shape }]),
    view: Some(|call| sliced(call).map(Some)),
    samples: || {
        let of = |shape: &[usize], starts: &[i64], sizes: &[i64], steps: &[i64]| {
            sample(&[shape]).ints("starts", starts).ints("sizes", sizes).ints("steps", steps)
        };
        vec![
            of(&[], &[], &[], &[]),
            of(&[7], &[6], &[7], &[-1]),
            of(&[9], &[1], &[3], &[3]),
            of(&[4, 5], &[1, 0], &[2, 5], &[1, 1]),
            of(&[4, 5], &[3, 4], &[2, 3], &[-3, -2]),
            of(&[4, 5], &[4, 2], &[0, 1], &[1, 1]),
            of(&[4, 5], &[0, -1], &[4, 0], &[1, -1]),
            of(&[0, 5], &[0, 1], &[0, 2], &[1, 2]),
            of(&[2, 6, 3], &[1, 5, 0], &[1, 3, 2], &[1, -2, 2]),
        ]
    },
    oracle: |call| {
        let (starts, steps) = (call.attrs.ints("starts"), call.attrs.ints("steps"));
        gather(call, &call.outputs[0].shape, |index, from| {
            for (axis, &i) in index.iter().enumerate() {
                from[axis] = (starts[axis] + i as i64 * steps[axis]) as usize;
            }
        })
    },
    internal: true,
    ..VIEW_OP
};

fn sliced(call: &Infer) -> Result<Layout, OpError> {
    let (x, sizes) = (call.arg(0).layout, call.dims("sizes")?);
    let (starts, steps) = (call.attrs.ints("starts"), call.attrs.ints("steps"));
    let rank = x.rank();
    if [starts.len(), sizes.len(), steps.len()] != [rank; 3] {
        let message = format!(
            "starts, sizes and steps must hold one number for each of the {rank} axes, got {}, {} and {}",
            starts.len(),
            sizes.len(),
            steps.len()
        );
        return Err(call.error(ErrorCode::InvalidArgument, message));
    }
    x.slice(starts, &sizes, steps).map_err(|axis| {
        let (start, size, step, dim) = (starts[axis], sizes[axis], steps[axis], x.shape[axis]);
        let message = if step == 0 {
            format!("the step of axis {axis} must not be 0; repeat with broadcast_to")
        } else {
            format!(
                "axis {axis} has {dim} elements, but the slice takes {size} from {start} by steps of {step}"
            )
        };
        call.error(ErrorCode::IndexOutOfRange, message)
    })
}

/// Output element `index` is the element of `x` that `source(index, from)` writes into `from`.
fn gather(call: &OracleCall, shape: &[usize], source: impl Fn(&[usize], &mut [usize])) -> Vec<OracleOutput> {
    let x = call.shape(0);
    let mut from = Shape::from_elem(0, x.len());
    let value = |index: Shape| {
        source(&index, &mut from);
        call.values(0)[flatten(&from, x)]
    };
    vec![indices(shape).map(value).collect::<Vec<_>>().into()]
}
