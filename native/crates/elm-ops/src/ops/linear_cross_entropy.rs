use elm_core::{
    Autocast, DType, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Specs, TensorSpec, input, sample,
    saved,
};
use smallvec::smallvec;

use super::cross_entropy::{ATTRS, LOSSES, Loss, cases, check_attrs};

pub static OPS: &[&OpDef] = &[&LINEAR_CROSS_ENTROPY];

use DType::{BF16, F16, F32, F64, I32};

static LINEAR_CROSS_ENTROPY: OpDef = OpDef {
    name: "linear_cross_entropy",
    doc: "`cross_entropy(hidden · weightᵀ, targets)` that never holds all logits.\n\n\
          The results are sums over the targets that count. The logits stay in f32 (f64 for f64). When a gradient \
          is wanted it is computed in the same pass, for the cotangent 1 of `loss`; for bf16 the gradient of the logits \
          is rounded to bf16 before it is multiplied.\n\n\
          Shapes: `hidden` is `[N, dim]`, `weight` is `[V, dim]`, `targets` is `[N]`, the losses are scalars.\n\
          Dtypes: floats, `targets` i32; losses and `dweight` are f32 (f64 for f64).\n\n\
          Wijmans et al., 2024, https://arxiv.org/abs/2411.09009 (the idea of not storing logits)",
    inputs: &[input("hidden"), input("weight"), input("targets").index()],
    attrs: ATTRS,
    outputs: &[LOSSES[0], LOSSES[1], LOSSES[2], saved("dhidden"), saved("dweight")],
    infer,
    signatures: &[&[F64, F64, I32], &[F32, F32, I32], &[BF16, BF16, I32], &[F16, F16, I32]],
    samples: || {
        let dims = [1, 8, 33, 4, 16, 16, 5, 5, 40, 12, 20];
        cases()
            .iter()
            .zip(dims)
            .map(|(case, dim)| {
                let rows = case.lead.iter().product();
                // A sum of `dim` products of numbers in ±2 and ±s has the deviation (4/3)·s·√dim/2.
                let scale = (case.span / (dim as f64).sqrt()).max(0.25);
                let inputs = sample(&[&[rows, dim]])
                    .and(&[case.classes, dim], Fill::Uniform(-scale, scale))
                    .and(&[rows], case.targets);
                case.attrs(inputs)
            })
            .collect()
    },
    oracle,
    tolerance: 8.0,
    autocast: Autocast::Lower,
    ..OpDef::EMPTY
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    call.require_rank(0, 2)?;
    call.require_rank(1, 2)?;
    let [rows, dim] = [call.shape(0)[0], call.shape(0)[1]];
    let [classes, inner] = [call.shape(1)[0], call.shape(1)[1]];
    if dim != inner {
        let message = format!("hidden and weight must agree in the last axis, got {dim} and {inner}");
        return Err(call.shape_error(message));
    }
    if classes == 0 {
        return Err(call.shape_error("weight must have at least one row (class), got 0"));
    }
    call.require_shape(2, &[rows], "the rows of hidden")?;
    check_attrs(call)?;
    let hidden = call.arg(0).spec();
    let dtype = hidden.dtype.accumulator();
    let scalar = TensorSpec::new(dtype, &[]);
    Ok(smallvec![scalar.clone(), scalar.clone(), scalar, hidden, TensorSpec::new(dtype, call.shape(1))])
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let [classes, dim] = [call.shape(1)[0], call.shape(1)[1]];
    let (hidden, weight, targets) = (call.values(0), call.values(1), call.values(2));
    let loss = Loss::of(call.attrs, classes);
    // The gradient of a bf16 logit is rounded to bf16; magnitudes count roundings of sums, which are f32.
    let rounding = if call.spec(0).dtype == BF16 {
        BF16.epsilon() / F32.epsilon() / LINEAR_CROSS_ENTROPY.tolerance
    } else {
        0.0
    };
    let mut rows = Vec::new();
    let (mut dhidden, mut dhidden_size) = (vec![0.0; hidden.len()], vec![0.0; hidden.len()]);
    let (mut dweight, mut dweight_size) = (vec![0.0; weight.len()], vec![0.0; weight.len()]);
    for (n, &target) in targets.iter().enumerate() {
        let row = n * dim..(n + 1) * dim;
        let terms = |class: usize| {
            hidden[row.clone()].iter().zip(&weight[class * dim..(class + 1) * dim]).map(|(h, w)| h * w)
        };
        let logits: Vec<f64> = (0..classes).map(|class| terms(class).sum()).collect();
        // A logit is off by its own terms, and so is everything made of it.
        let error = (0..classes).map(|class| terms(class).map(f64::abs).sum()).fold(0.0, f64::max);
        let mut outcome = loss.row(&logits, target);
        outcome.size += 3.0 * error;
        let gradient = loss.gradient(&logits, target, outcome.lse, 2.0 * outcome.size);
        for (class, (g, size)) in gradient.into_iter().enumerate() {
            for i in 0..dim {
                let (at, w) = (n * dim + i, class * dim + i);
                dhidden[at] += g * weight[w];
                dhidden_size[at] += (size + g.abs() * rounding) * weight[w].abs();
                dweight[w] += g * hidden[at];
                dweight_size[w] += (size + g.abs() * rounding) * hidden[at].abs();
            }
        }
        rows.push(outcome);
    }
    let mut outputs = loss.sums(&rows);
    outputs.push(OracleOutput { values: dhidden, magnitudes: Some(dhidden_size) });
    outputs.push(OracleOutput { values: dweight, magnitudes: Some(dweight_size) });
    outputs
}
