use elm_core::{
    DType, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Sample, Specs, attr, input, optional,
    sample,
};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&ROPE];

use DType::{BF16, F16, F32, F64, I32};

static ROPE: OpDef = OpDef {
    name: "rope",
    doc: "Rotary position embedding; component `j` of the first half of a head turns with component `j` of the \
          second half: with `θ = position · base^(−2j/dim)`,\n\
          `y[j] = x[j]·cos θ − x[j + dim/2]·sin θ`, `y[j + dim/2] = x[j + dim/2]·cos θ + x[j]·sin θ`.\n\n\
          The position of token `t` is `offset[b] + t`. `inverse` turns back, which is also the gradient.\n\n\
          Shapes: `x` is `[batch, heads, tokens, dim]` with even `dim`, `offset` is `[batch]`, `y` is like `x`.\n\
          Dtypes: floats; `offset` is i32. Angles are computed in f64, half precision is rounded once.\n\n\
          Su et al., 2021, https://arxiv.org/abs/2104.09864",
    inputs: &[input("x"), optional("offset").index()],
    attrs: &[
        attr::f64("base", 10_000.0, "The wavelength of component j is 2π · base^(2j/dim)."),
        attr::bool("inverse", false, "Turn by −θ."),
    ],
    infer,
    signatures: &[&[F64, I32], &[F32, I32], &[BF16, I32], &[F16, I32]],
    samples: || {
        let with_offset = |shape: &'static [usize]| sample(&[shape]).and(&shape[..1], Fill::Ints(0, 5000));
        let mut samples: Vec<Sample> = vec![
            sample(&[&[1, 1, 1, 2]]).absent(),
            sample(&[&[2, 3, 5, 8]]).absent(),
            sample(&[&[2, 2, 7, 34]]).absent().bool("inverse", true),
            sample(&[&[0, 2, 3, 8]]).absent(),
            sample(&[&[1, 3, 130, 64]]).absent().f64("base", 500.0),
        ];
        samples.extend([&[3, 2, 1, 16], &[2, 1, 65, 8]].map(|shape: &[usize; 4]| with_offset(shape)));
        samples
    },
    oracle,
    ..OpDef::EMPTY
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    call.require_rank(0, 4)?;
    let [batch, dim] = [call.shape(0)[0], call.shape(0)[3]];
    require_even(call, dim)?;
    require_offset(call, 1, batch)?;
    Ok(smallvec![call.arg(0).spec()])
}

pub(super) fn require_even(call: &Infer, dim: usize) -> Result<(), OpError> {
    if dim.is_multiple_of(2) {
        return Ok(());
    }
    Err(call.shape_error(format!("a head must have an even size (its halves turn together), got {dim}")))
}

pub(super) fn require_offset(call: &Infer, position: usize, batch: usize) -> Result<(), OpError> {
    match call.optional(position) {
        Some(_) => call.require_shape(position, &[batch], "one offset a sequence"),
        None => Ok(()),
    }
}

/// `(sin, cos)` of the angle of component `j` at token `t` of sequence `b`.
pub(super) fn turn(call: &OracleCall, offset: usize, [b, t, j]: [usize; 3], dim: usize) -> (f64, f64) {
    let start = if call.has(offset) { call.values(offset)[b] } else { 0.0 };
    let angle = (start + t as f64) * call.attrs.f64("base").powf(-2.0 * j as f64 / dim as f64);
    angle.sin_cos()
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let shape = call.shape(0);
    let [heads, tokens, dim] = [shape[1], shape[2], shape[3]];
    let sign = if call.attrs.bool("inverse") { -1.0 } else { 1.0 };
    let x = call.values(0);
    let (mut y, mut size) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    for row in 0..x.len() / dim.max(1) {
        let (b, t) = (row / (heads * tokens), row % tokens);
        for j in 0..dim / 2 {
            let (sin, cos) = turn(call, 1, [b, t, j], dim);
            let (first, second) = (row * dim + j, row * dim + dim / 2 + j);
            y[first] = x[first] * cos - sign * x[second] * sin;
            y[second] = x[second] * cos + sign * x[first] * sin;
            let both = x[first].abs() + x[second].abs();
            (size[first], size[second]) = (both, both);
        }
    }
    vec![OracleOutput { values: y, magnitudes: Some(size) }]
}
