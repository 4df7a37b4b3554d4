use elm_core::{OpDef, OracleCall, OracleOutput, attr, input, public, sample};

use super::random::{COUNTER, SEED, require_probability, seeded, unit, words};
use crate::rules::{FLOAT1, same_as_first};

pub static OPS: &[&OpDef] = &[&DROPOUT, &DROPOUT_BACKWARD];

const MASKED: OpDef = OpDef {
    infer: |call| {
        require_probability(call)?;
        same_as_first(call)
    },
    signatures: FLOAT1,
    samples: || {
        let of = |shape: &[usize], p: f64| seeded(sample(&[shape]).f64("p", p), 21);
        vec![
            of(&[], 0.5),
            of(&[0, 3], 0.5),
            of(&[3, 7], 0.1),
            of(&[5, 33], 0.0),
            of(&[5, 33], 1.0),
            of(&[130, 257], 0.3),
        ]
    },
    oracle,
    ..OpDef::EMPTY
};

static DROPOUT: OpDef = OpDef {
    name: "dropout",
    doc: "`x` with elements set to 0 with probability `p`, each by itself, and the others divided by `1 − p`.\n\n\
          Element `i` is dropped where the 24 bits of its random word are below `p`; no mask is stored.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: floats.\n\n\
          Srivastava et al., 2014, “Dropout: a simple way to prevent neural networks from overfitting”.",
    torch: "nn.functional.dropout",
    inputs: &[input("x")],
    attrs: &[attr::f64("p", 0.5, "The probability that an element is dropped."), SEED, COUNTER],
    random: true,
    ..MASKED
};

static DROPOUT_BACKWARD: OpDef = OpDef {
    name: "dropout_backward",
    doc: "Gradient of `dropout`: `grad` under the same mask, which is drawn again, divided by `1 − p`.\n\n\
          Shapes: `grad` and `dx` are `[...]`. Dtypes: floats.",
    inputs: &[input("grad")],
    outputs: &[public("dx")],
    attrs: &[attr::f64("p", 0.5, "The probability that an element was dropped."), SEED, COUNTER],
    differentiable: false,
    internal: true,
    ..MASKED
};

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let (x, p) = (call.values(0), call.attrs.f64("p"));
    let keep = |(x, word): (&f64, u32)| if unit(word) < p { 0.0 } else { x / (1.0 - p) };
    vec![x.iter().zip(words(call.attrs, x.len())).map(keep).collect::<Vec<_>>().into()]
}
