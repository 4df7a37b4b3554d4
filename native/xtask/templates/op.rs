use elm_core::{DType, Infer, OpDef, OpError, OracleCall, OracleOutput, Specs, input, sample};

pub static OPS: &[&OpDef] = &[&OP_NAME];

use DType::{BF16, F16, F32, F64};

static OP_NAME: OpDef = OpDef {
    name: "op_name",
    doc: "Say in one sentence what it computes:\n\
          `y = x`.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: floats.",
    inputs: &[input("x")],
    infer,
    signatures: &[&[F64], &[F32], &[BF16], &[F16]],
    // Empty, odd, and one on each side of the kernel's blocks.
    samples: || vec![sample(&[&[0, 3]]), sample(&[&[1]]), sample(&[&[3, 8]]), sample(&[&[2, 5, 33]])],
    oracle,
    ..OpDef::EMPTY
};

/// One output like `x`.
fn infer(call: &Infer) -> Result<Specs, OpError> {
    Ok([call.arg(0).spec()].into_iter().collect())
}

/// The definition in plain f64, slow and clear.
fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    vec![call.values(0).to_vec().into()]
}
