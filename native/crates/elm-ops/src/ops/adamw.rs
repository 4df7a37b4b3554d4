use elm_core::{DType, Fill, OpDef, OracleCall, OracleOutput, Sample, attr, input, list, sample};

use crate::rules::same_shapes;

pub static OPS: &[&OpDef] = &[&ADAMW];

use DType::{F32, F64};

static ADAMW: OpDef = OpDef {
    name: "adamw",
    doc: "One step of Adam with decoupled weight decay on all parameters, in place. With `g = grad · scale` and \
          `t = step` (from 1):\n\
          `m ← β₁·m + (1 − β₁)·g`, `v ← β₂·v + (1 − β₂)·g²`,\n\
          `param ← param − lr · (weight_decay · param + m̂ / (√v̂ + eps))` \
          with `m̂ = m / (1 − β₁ᵗ)` and `v̂ = v / (1 − β₂ᵗ)`.\n\n\
          Where `skip` is not 0 nothing changes, whatever the gradients hold.\n\n\
          Shapes: the first four inputs are scalars; `param`, `grad`, `m` and `v` are lists of equal shapes.\n\
          Dtypes: f32, f64; the scalars are f32.\n\n\
          Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101",
    torch: "optim.AdamW",
    inputs: &[
        input("lr").index(),
        input("step").index(),
        input("scale").index(),
        input("skip").index(),
        list("param").mutated(),
        list("grad").index(),
        list("m").mutated(),
        list("v").mutated(),
    ],
    attrs: &[
        attr::f64("beta1", 0.9, "Decay of the mean of the gradients."),
        attr::f64("beta2", 0.999, "Decay of the mean of their squares."),
        attr::f64("eps", 1e-8, "Added to the root of the mean square."),
        attr::f64("weight_decay", 0.0, "Share of a parameter, times `lr`, that a step takes away."),
    ],
    outputs: &[],
    infer: |call| {
        (0..4).try_for_each(|i| call.require_shape(i, &[], "a scalar"))?;
        same_shapes(call)
    },
    signatures: &[&[F32, F32, F32, F32, F32], &[F32, F32, F32, F32, F64]],
    samples: || {
        vec![
            case([1e-2, 1.0, 1.0, 0.0], &[&[1]], Fill::Uniform(-2.0, 2.0)),
            case([1e-2, 2.0, 0.25, 0.0], &[&[3, 5], &[], &[33]], Fill::Uniform(-2.0, 2.0))
                .f64("weight_decay", 0.1),
            case([3e-3, 1000.0, 1.0, 0.0], &[&[130, 257], &[0, 3], &[17]], Fill::Uniform(-2.0, 2.0))
                .f64("beta2", 0.95)
                .f64("weight_decay", 0.1),
            case([1e-2, 350_001.0, 3.0, 0.0], &[&[7], &[2, 40_000], &[5]], Fill::Uniform(-2.0, 2.0)),
            case([1e-2, 5.0, 1.0, 0.0], &[&[9]], Fill::Constant(0.0)).f64("eps", 1e-3),
            case([1e-2, 3.0, 1.0, 1.0], &[&[4, 4], &[19]], Fill::Constant(f64::NAN)).f64("weight_decay", 0.1),
        ]
    },
    oracle,
    tolerance: 8.0,
    differentiable: false,
    ..OpDef::EMPTY
};

/// `scalars` are lr, step, scale and skip.
fn case(scalars: [f64; 4], shapes: &[&[usize]], grads: Fill) -> Sample {
    let first = scalars.iter().fold(sample(&[]), |s, &value| s.and(&[], Fill::Constant(value)));
    let fills = [Fill::Uniform(-2.0, 2.0), grads, Fill::Uniform(-1.0, 1.0), Fill::Uniform(0.0, 1.0)];
    let lists = fills.iter().flat_map(|&fill| shapes.iter().map(move |&shape| (shape, fill)));
    lists.fold(first, |s, (shape, fill)| s.and(shape, fill))
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let scalar = |i: usize| call.values(i)[0];
    let [lr, step, scale, skip] = [scalar(0), scalar(1), scalar(2), scalar(3)];
    let attr = |name| call.attrs.f64(name);
    let [beta1, beta2, eps, decay] = [attr("beta1"), attr("beta2"), attr("eps"), attr("weight_decay")];
    let range = |index| call.list(&ADAMW, index);
    let (mut params, mut means, mut squares) = (Vec::new(), Vec::new(), Vec::new());
    for (((p, g), m), v) in range(4).zip(range(5)).zip(range(6)).zip(range(7)) {
        if skip != 0.0 {
            params.push(call.values(p).to_vec().into());
            means.push(call.values(m).to_vec().into());
            squares.push(call.values(v).to_vec().into());
            continue;
        }
        let mut out: [(Vec<f64>, Vec<f64>); 3] = std::array::from_fn(|_| Default::default());
        for i in 0..call.values(p).len() {
            let [p, g, m, v] = [p, g, m, v].map(|input| call.values(input)[i]);
            let g = g * scale;
            let (m_size, v) = (beta1 * m.abs() + (1.0 - beta1) * g.abs(), beta2 * v + (1.0 - beta2) * g * g);
            let m = beta1 * m + (1.0 - beta1) * g;
            let root = (v / (1.0 - beta2.powf(step))).sqrt() + eps;
            let rate = lr / (1.0 - beta1.powf(step)) / root;
            let new = p - lr * decay * p - rate * m;
            for (slot, (value, size)) in
                out.iter_mut().zip([(new, p.abs() * (1.0 + lr * decay) + rate * m_size), (m, m_size), (v, v)])
            {
                slot.0.push(value);
                slot.1.push(size);
            }
        }
        let [p, m, v] = out.map(|(values, sizes)| OracleOutput { values, magnitudes: Some(sizes) });
        params.push(p);
        means.push(m);
        squares.push(v);
    }
    params.into_iter().chain(means).chain(squares).collect()
}
