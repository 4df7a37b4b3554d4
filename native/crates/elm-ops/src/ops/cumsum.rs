use elm_core::{DType, Fill, OpDef, OracleCall, OracleOutput, Sample, TensorSpec, attr, input, sample};
use smallvec::smallvec;

use crate::rules::{ANY_SAME, along_axis};

pub static OPS: &[&OpDef] = &[&CUMSUM];

static CUMSUM: OpDef = OpDef {
    name: "cumsum",
    doc: "Running sums along `axis`: `y[i] = x[0] + … + x[i]`, or `x[i] + … + x[n−1]` in reverse.\n\n\
          Shapes: `x` and `y` are `[...]`. Dtypes: all; floats keep theirs (half precision is added in f32), integers \
          and bool give i64.",
    torch: "cumsum",
    numpy: "cumsum",
    inputs: &[input("x")],
    attrs: &[
        attr::axis("axis", -1, "The axis to sum along."),
        attr::bool("reverse", false, "Whether to sum from the end."),
    ],
    infer: |call| {
        call.axis("axis", call.shape(0).len())?;
        let dtype = call.dtype(0);
        let dtype = if dtype.is_float() { dtype } else { DType::I64 };
        Ok(smallvec![TensorSpec::new(dtype, call.shape(0))])
    },
    signatures: ANY_SAME,
    samples: || {
        let both = |shape: &[usize], axis| {
            [false, true].map(|r| sample(&[shape]).int("axis", axis).bool("reverse", r))
        };
        let mut all: Vec<Sample> = both(&[5], 0).into();
        for axis in [0, 1, -1] {
            all.extend([both(&[3, 17, 9], axis), both(&[2, 40, 300], axis)].into_iter().flatten());
        }
        all.extend([sample(&[&[0, 3]]), sample(&[&[3, 0]]), sample(&[&[2, 1]]), sample(&[&[2, 9000]])]);
        all.push(sample(&[&[6, 7]]).fill(0, Fill::Bool));
        all
    },
    oracle,
    ..OpDef::EMPTY
};

fn oracle(call: &OracleCall) -> Vec<OracleOutput> {
    let axis = call.attrs.axis("axis", call.shape(0).len());
    let reverse = call.attrs.bool("reverse");
    let run = |f: fn(f64) -> f64| {
        along_axis(call.shape(0), axis, call.values(0), |line| {
            let mut sums: Vec<f64> = line.iter().map(|&v| f(v)).collect();
            if reverse {
                sums.reverse();
            }
            (1..sums.len()).for_each(|i| sums[i] += sums[i - 1]);
            if reverse {
                sums.reverse();
            }
            sums
        })
    };
    // A chain of n additions may round n times: the bound grows with the length.
    let length = (call.shape(0)[axis] as f64).sqrt().max(1.0);
    let magnitudes = run(f64::abs).into_iter().map(|sum| sum * length).collect();
    vec![OracleOutput { values: run(|v| v), magnitudes: Some(magnitudes) }]
}
