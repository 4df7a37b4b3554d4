use elm_core::{
    Attr, AttrDef, AttrKind, DType, Default, ErrorCode, Fill, Infer, OpDef, OpError, OracleOutput, Signature,
    Specs, TensorSpec, attr, input, public, sample,
};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&EMBEDDING, &EMBEDDING_BACKWARD];

use DType::{BF16, F16, F32, F64, I32};

const SIGNATURES: &[Signature] = &[&[F64, I32], &[F32, I32], &[BF16, I32], &[F16, I32]];

const PADDING: AttrDef = attr::new(
    "padding_index",
    AttrKind::Int,
    Default::Absent,
    "An id whose row gets no gradient; its values are looked up like those of any other.",
);

static EMBEDDING: OpDef = OpDef {
    name: "embedding",
    doc: "Rows of a table by their number: `y[…, :] = weight[ids[…], :]`.\n\n\
          Shapes: `weight` is `[rows, dim]`, `ids` is `[...]`, `y` is `[..., dim]`.\n\
          Dtypes: floats, `ids` i32. An id outside `0 … rows - 1` is an error.",
    torch: "nn.functional.embedding",
    numpy: "take",
    inputs: &[input("weight"), input("ids").index()],
    attrs: &[PADDING],
    infer: |call| {
        call.require_rank(0, 2)?;
        let [rows, dim] = [call.shape(0)[0], call.shape(0)[1]];
        check_padding(call, rows)?;
        let mut y = TensorSpec::new(call.dtype(0), call.shape(1));
        y.shape.push(dim);
        Ok(smallvec![y])
    },
    signatures: SIGNATURES,
    samples: || {
        let make = |weight: &[usize; 2], ids: &[usize]| {
            sample(&[weight, ids]).fill(1, Fill::Ints(0, weight[0] as i64))
        };
        vec![
            make(&[1, 1], &[]),
            make(&[5, 3], &[7]),
            make(&[4, 8], &[0, 2]),
            make(&[3, 0], &[2]),
            make(&[11, 33], &[2, 3]).int("padding_index", 2),
            make(&[130, 257], &[3, 67]),
        ]
    },
    oracle: |call| {
        let dim = call.shape(0)[1];
        let row = |id: &f64| &call.values(0)[*id as usize * dim..(*id as usize + 1) * dim];
        vec![call.values(1).iter().flat_map(row).copied().collect::<Vec<_>>().into()]
    },
    ..OpDef::EMPTY
};

fn check_padding(call: &Infer, rows: usize) -> Result<(), OpError> {
    if !call.attrs.is_given("padding_index") {
        return Ok(());
    }
    let index = call.attrs.int("padding_index");
    if (0..rows as i64).contains(&index) {
        return Ok(());
    }
    let message = format!("padding_index must name one of the {rows} rows, got {index}");
    Err(call.error(ErrorCode::InvalidArgument, message))
}

static EMBEDDING_BACKWARD: OpDef = OpDef {
    name: "embedding_backward",
    doc: "Gradient of `embedding`: `dweight[r, :] = Σ_{ids[…] = r} grad[…, :]`, 0 in the row `padding_index`.\n\n\
          Each row is summed in the order of `ids`, in f32 (f64 for f64), and rounded once.",
    inputs: &[input("grad"), input("ids").index()],
    attrs: &[
        attr::required("rows", AttrKind::Int, "Rows of the table."),
        PADDING,
        attr::new(
            "out_dtype",
            AttrKind::DType,
            Default::Absent,
            "Dtype of the result: that of `grad`, or `\"f32\"` for a half-precision `grad`.",
        ),
    ],
    outputs: &[public("dweight")],
    infer: infer_backward,
    signatures: SIGNATURES,
    samples: || {
        let make = |rows: usize, ids: &[usize], dim: usize| {
            let grad: Vec<usize> = ids.iter().copied().chain([dim]).collect();
            sample(&[&grad, ids]).fill(1, Fill::Ints(0, rows as i64)).int("rows", rows as i64)
        };
        vec![
            make(1, &[], 1),
            make(5, &[7], 3),
            make(4, &[0, 2], 8),
            make(3, &[2], 0),
            make(11, &[4, 9], 33).int("padding_index", 2),
            make(130, &[3, 67], 257),
            make(2, &[400], 17),
            make(300, &[5], 20).attr("out_dtype", Attr::DType(F32)).dtypes(&[F32, BF16, F16]),
            make(7, &[40], 9).attr("out_dtype", Attr::DType(F32)).dtypes(&[F32, BF16, F16]),
        ]
    },
    oracle: |call| {
        let [rows, dim] = [call.outputs[0].shape[0], call.outputs[0].shape[1]];
        let padding = call.attrs.is_given("padding_index").then(|| call.attrs.int("padding_index"));
        let (mut values, mut magnitudes) = (vec![0.0; rows * dim], vec![0.0; rows * dim]);
        for (position, &id) in
            call.values(1).iter().enumerate().filter(|(_, id)| padding != Some(**id as i64))
        {
            for column in 0..dim {
                let grad = call.values(0)[position * dim + column];
                values[id as usize * dim + column] += grad;
                magnitudes[id as usize * dim + column] += grad.abs();
            }
        }
        vec![OracleOutput { values, magnitudes: Some(magnitudes) }]
    },
    // One rounding an addition; the samples repeat an id up to about 200 times.
    tolerance: 16.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};

fn infer_backward(call: &Infer) -> Result<Specs, OpError> {
    let dim = call.last_dim(0)?;
    let (grad, ids) = (call.shape(0), call.shape(1));
    if grad[..grad.len() - 1] != *ids {
        let message = format!("grad must have shape [...ids, dim], got {grad:?} for ids {ids:?}");
        return Err(call.shape_error(message));
    }
    let rows = call.attrs.int("rows");
    let rows = usize::try_from(rows).map_err(|_| {
        call.error(ErrorCode::InvalidArgument, format!("rows must not be negative, got {rows}"))
    })?;
    check_padding(call, rows)?;
    let own = call.dtype(0);
    let dtype = if call.attrs.is_given("out_dtype") { call.attrs.dtype("out_dtype") } else { own };
    if dtype != own && !(dtype == F32 && own.size() == 2) {
        let message = format!("out_dtype must be {own} or, for half-precision inputs, f32; got {dtype}");
        return Err(call.error(ErrorCode::DtypeMismatch, message));
    }
    Ok(smallvec![TensorSpec::new(dtype, &[rows, dim])])
}
