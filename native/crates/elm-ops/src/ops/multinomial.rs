use elm_core::{
    AttrKind, DType, ErrorCode, Fill, Infer, OpDef, OpError, OracleCall, OracleOutput, Specs, TensorSpec,
    attr, input, sample,
};
use smallvec::smallvec;

use super::random::{COUNTER, SEED, seeded, unit, words};
use crate::rules::{FLOAT1, rows};

pub static OPS: &[&OpDef] = &[&MULTINOMIAL];

static MULTINOMIAL: OpDef = OpDef {
    name: "multinomial",
    doc: "Positions drawn with the given probabilities, which need not sum to 1.\n\n\
          With replacement draw `d` is the first position whose running sum exceeds `u · Σ`, `u` of 24 random bits. \
          Without it the draws are the positions of the smallest `−ln(u) / p`, smallest first, `u` of 32 random bits \
          for each position: an exponential race. Rows hold finite values that are not negative, and without \
          replacement at least `count` positive ones; else the result is an error.\n\n\
          Shapes: `probabilities` is `[..., n]`, `y` is `[..., count]`. Dtypes: floats; `y` is i32.\n\n\
          Efraimidis and Spirakis, 2006, “Weighted random sampling with a reservoir”.",
    torch: "multinomial",
    numpy: "random.Generator.choice",
    inputs: &[input("probabilities").index()],
    attrs: &[
        attr::positional("count", AttrKind::Int, "Draws for each row."),
        attr::bool("replacement", false, "Whether a position may be drawn again."),
        SEED,
        COUNTER,
    ],
    infer,
    signatures: FLOAT1,
    samples: || {
        let of = |shape: &[usize], count: i64, replacement: bool| {
            let filled = sample(&[shape]).fill(0, Fill::Uniform(0.05, 1.0)).int("count", count);
            seeded(filled.bool("replacement", replacement), count)
        };
        vec![
            of(&[1], 1, false),
            of(&[7], 3, false),
            of(&[2, 3, 33], 33, false),
            of(&[0, 5], 2, false),
            of(&[4, 1000], 5, false),
            of(&[1], 4, true),
            of(&[3, 5], 17, true),
            of(&[2, 1000], 40, true),
        ]
    },
    oracle,
    random: true,
    differentiable: false,
    ..OpDef::EMPTY
};

fn infer(call: &Infer) -> Result<Specs, OpError> {
    let (n, count) = (call.last_dim(0)?, call.attrs.int("count"));
    let most = if call.attrs.bool("replacement") { 1 << 31 } else { n as i64 };
    if n == 0 || n > 1 << 31 || !(1..=most).contains(&count) {
        let message = format!(
            "count must be of [1, {most}] for {n} probabilities{}, got {count}",
            if call.attrs.bool("replacement") { "" } else { " without replacement" }
        );
        return Err(call.error(ErrorCode::InvalidArgument, message));
    }
    let mut shape = call.arg(0).spec().shape;
    shape[call.shape(0).len() - 1] = count as usize;
    Ok(smallvec![TensorSpec { dtype: DType::I32, shape }])
}

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let (n, count) = (call.shape(0)[call.shape(0).len() - 1], call.attrs.int("count") as usize);
    let replacement = call.attrs.bool("replacement");
    let total = call.outputs[0].shape.iter().product::<usize>().max(call.values(0).len());
    let words: Vec<u32> = words(call.attrs, total).collect();
    let mut drawn = Vec::new();
    for (row, p) in rows(call.shape(0), call.values(0)).enumerate() {
        if replacement {
            let sum: f64 = p.iter().sum();
            for word in &words[row * count..(row + 1) * count] {
                let running = p.iter().scan(0.0, |sum, p| {
                    *sum += p;
                    Some(*sum)
                });
                let position = running.take_while(|&running| running <= unit(*word) * sum).count();
                drawn.push(position as f64);
            }
        } else {
            let arrival = |j: usize| {
                let u = (f64::from(words[row * n + j]) + 0.5) / 4_294_967_296.0;
                -u.ln() / p[j]
            };
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| arrival(a).total_cmp(&arrival(b)));
            drawn.extend(order[..count].iter().map(|&j| j as f64));
        }
    }
    vec![drawn.into()]
}
