use elm_core::{DType, Fill, InputDef, OpDef, OracleCall, OracleOutput, Sample, attr, input, list, sample};

use crate::rules::same_shapes;

pub static OPS: &[&OpDef] = &[&SGD, &SGD_MOMENTUM];

use DType::{F32, F64};

const SCALARS: [InputDef; 3] = [input("lr").index(), input("scale").index(), input("skip").index()];
const PARAM: InputDef = list("param").mutated();
const GRAD: InputDef = list("grad").index();

const BASE: OpDef = OpDef {
    outputs: &[],
    infer: |call| {
        (0..3).try_for_each(|i| call.require_shape(i, &[], "a scalar"))?;
        same_shapes(call)
    },
    signatures: &[&[F32, F32, F32, F32], &[F32, F32, F32, F64]],
    tolerance: 8.0,
    differentiable: false,
    ..OpDef::EMPTY
};

static SGD: OpDef = OpDef {
    name: "sgd",
    doc: "One step of gradient descent on all parameters, in place:\n\
          `param ← param − lr · (grad · scale + weight_decay · param)`.\n\n\
          Where `skip` is not 0 nothing changes.\n\n\
          Shapes: `lr`, `scale` and `skip` are scalars; `param` and `grad` are lists of equal shapes.\n\
          Dtypes: f32, f64; the scalars are f32.",
    torch: "optim.SGD",
    inputs: &[SCALARS[0], SCALARS[1], SCALARS[2], PARAM, GRAD],
    attrs: &[attr::f64("weight_decay", 0.0, "Share of a parameter that is added to its gradient.")],
    samples: || {
        vec![
            case([0.1, 1.0, 0.0], 1, &[&[1]], Fill::Uniform(-2.0, 2.0)),
            case([0.1, 0.5, 0.0], 1, &[&[3, 5], &[], &[33], &[0, 2]], Fill::Uniform(-2.0, 2.0))
                .f64("weight_decay", 0.1),
            case([0.1, 1.0, 0.0], 1, &[&[7], &[2, 40_000], &[130, 17]], Fill::Uniform(-2.0, 2.0)),
            case([0.1, 1.0, 1.0], 1, &[&[4, 4], &[19]], Fill::Constant(f64::NAN)),
        ]
    },
    oracle: |call| oracle(call, &SGD),
    ..BASE
};

static SGD_MOMENTUM: OpDef = OpDef {
    name: "sgd_momentum",
    doc: "One step of gradient descent with momentum on all parameters, in place. With \
          `g = grad · scale + weight_decay · param`:\n\
          `velocity ← momentum · velocity + g`, `param ← param − lr · velocity`, or with `nesterov` \
          `param ← param − lr · (g + momentum · velocity)`.\n\n\
          Where `skip` is not 0 nothing changes.\n\n\
          Shapes: `lr`, `scale` and `skip` are scalars; `param`, `grad` and `velocity` are lists of equal shapes.\n\
          Dtypes: f32, f64; the scalars are f32.\n\n\
          Sutskever et al., 2013, https://proceedings.mlr.press/v28/sutskever13.html",
    torch: "optim.SGD",
    inputs: &[SCALARS[0], SCALARS[1], SCALARS[2], PARAM, GRAD, list("velocity").mutated()],
    attrs: &[
        attr::f64("momentum", 0.9, "Share of the velocity that a step keeps."),
        attr::f64("weight_decay", 0.0, "Share of a parameter that is added to its gradient."),
        attr::bool("nesterov", false, "Looks ahead along the new velocity."),
    ],
    samples: || {
        vec![
            case([0.1, 1.0, 0.0], 2, &[&[1]], Fill::Uniform(-2.0, 2.0)),
            case([0.1, 0.5, 0.0], 2, &[&[3, 5], &[], &[33], &[0, 2]], Fill::Uniform(-2.0, 2.0))
                .f64("weight_decay", 0.1),
            case([0.1, 2.0, 0.0], 2, &[&[7], &[2, 40_000], &[130, 17]], Fill::Uniform(-2.0, 2.0))
                .f64("momentum", 0.5)
                .f64("weight_decay", 0.01)
                .bool("nesterov", true),
            case([0.1, 1.0, 1.0], 2, &[&[4, 4], &[19]], Fill::Constant(f64::NAN)),
        ]
    },
    oracle: |call| oracle(call, &SGD_MOMENTUM),
    ..BASE
};

/// `scalars` are lr, scale and skip; `state` counts the lists beside the gradients.
fn case(scalars: [f64; 3], state: usize, shapes: &[&[usize]], grads: Fill) -> Sample {
    let first = scalars.iter().fold(sample(&[]), |s, &value| s.and(&[], Fill::Constant(value)));
    let uniform = Fill::Uniform(-2.0, 2.0);
    let fills = [uniform, grads, uniform];
    let lists = fills[..=state].iter().flat_map(|&fill| shapes.iter().map(move |&shape| (shape, fill)));
    lists.fold(first, |s, (shape, fill)| s.and(shape, fill))
}

fn oracle(call: &OracleCall, op: &OpDef) -> Vec<OracleOutput> {
    let scalar = |i: usize| call.values(i)[0];
    let [lr, scale, skip] = [scalar(0), scalar(1), scalar(2)];
    let decay = call.attrs.f64("weight_decay");
    let has_state = op.inputs.len() == 6;
    let momentum = if has_state { call.attrs.f64("momentum") } else { 0.0 };
    let nesterov = has_state && call.attrs.bool("nesterov");
    let (params, grads) = (call.list(op, 3), call.list(op, 4));
    let (mut updated, mut velocities) = (Vec::new(), Vec::new());
    for (n, (p, g)) in params.zip(grads).enumerate() {
        let velocity = has_state.then(|| call.values(call.list(op, 5).start + n));
        if skip != 0.0 {
            updated.push(call.values(p).to_vec().into());
            velocities.extend(velocity.map(|v| v.to_vec().into()));
            continue;
        }
        let (mut new, mut new_size, mut kept, mut kept_size) = (vec![], vec![], vec![], vec![]);
        for (i, (&p, &g)) in call.values(p).iter().zip(call.values(g)).enumerate() {
            let before = velocity.map_or(0.0, |v| v[i]);
            let (g, g_size) = (g * scale + decay * p, (g * scale).abs() + (decay * p).abs());
            let (v, v_size) = (momentum * before + g, (momentum * before).abs() + g_size);
            let ahead = if nesterov { (g + momentum * v, g_size + momentum * v_size) } else { (v, v_size) };
            new.push(p - lr * ahead.0);
            new_size.push(p.abs() + lr * ahead.1);
            kept.push(v);
            kept_size.push(v_size);
        }
        updated.push(OracleOutput { values: new, magnitudes: Some(new_size) });
        if has_state {
            velocities.push(OracleOutput { values: kept, magnitudes: Some(kept_size) });
        }
    }
    updated.into_iter().chain(velocities).collect()
}
