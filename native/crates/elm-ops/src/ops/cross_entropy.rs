use elm_core::{
    AttrDef, Attrs, DType, ErrorCode, Fill, Infer, OpDef, OpError, OracleOutput, OutputDef, Sample, Specs,
    TensorSpec, attr, input, public, sample, saved,
};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&CROSS_ENTROPY, &CROSS_ENTROPY_BACKWARD];

use DType::{BF16, F16, F32, F64, I32};

/// Attributes of every op with this loss.
pub const ATTRS: &[AttrDef] = &[
    attr::int("ignore_index", -100, "Target of positions that do not count."),
    attr::f64("z_loss", 0.0, "Factor of the squared log-partition that is added to the loss."),
    attr::choice(
        "z_loss_mode",
        &["valid", "corenet"],
        "`\"valid\"` sums over the positions that count; `\"corenet\"` also adds the constant \
         `z_loss · (ln V)²`, which has no gradient, for each ignored position.",
    ),
    attr::f64("label_smoothing", 0.0, "Share of the target's weight that is spread over all classes."),
];

pub const LOSSES: [OutputDef; 3] = [public("loss"), public("ce"), public("z")];

static CROSS_ENTROPY: OpDef = OpDef {
    name: "cross_entropy",
    doc: "Cross-entropy of class scores with the log-partition penalty, summed over the targets that count:\n\
          `ce = Σ (lse − (1 − ε) · logits[target] − ε · mean(logits))`, `z = z_loss · Σ lse²`, `loss = ce + z`,\n\
          with `lse = ln Σ exp(logits)` and `ε = label_smoothing`.\n\n\
          The results are sums: divide by the number of targets that count. A target that is neither \
          `ignore_index` nor one of `0 … V - 1` is an error.\n\n\
          Shapes: `logits` is `[..., V]`, `targets` is `[...]`, `loss`, `ce` and `z` are scalars.\n\
          Dtypes: floats, `targets` i32; the results are f32 (f64 for f64).\n\n\
          Label smoothing: Szegedy et al., 2016, https://arxiv.org/abs/1512.00567; \
          z-loss: Chowdhery et al., 2022, https://arxiv.org/abs/2204.02311",
    torch: "nn.functional.cross_entropy",
    inputs: &[input("logits"), input("targets").index()],
    attrs: ATTRS,
    outputs: &[LOSSES[0], LOSSES[1], LOSSES[2], saved("lse")],
    infer: |call| {
        let lse = check_logits(call, 0, 1)?;
        let scalar = TensorSpec::new(lse.dtype, &[]);
        Ok(smallvec![scalar.clone(), scalar.clone(), scalar, lse])
    },
    signatures: &[&[F64, I32], &[F32, I32], &[BF16, I32], &[F16, I32]],
    samples: || cases().iter().map(|case| case.attrs(case.inputs(&[]))).collect(),
    oracle: |call| {
        let classes = *call.shape(0).last().expect("the shape rule wants an axis");
        let loss = Loss::of(call.attrs, classes);
        let rows = call.values(0).chunks_exact(classes);
        let rows: Vec<Row> = rows.zip(call.values(1)).map(|(row, &t)| loss.row(row, t)).collect();
        let sizes = rows.iter().map(|row| row.size).collect();
        let lse = rows.iter().map(|row| row.lse).collect();
        let mut outputs = loss.sums(&rows);
        outputs.push(OracleOutput { values: lse, magnitudes: Some(sizes) });
        outputs
    },
    tolerance: 16.0,
    ..OpDef::EMPTY
};

/// Checks logits `[..., V]` against targets `[...]` and gives the spec of one number a target.
fn check_logits(call: &Infer, logits: usize, targets: usize) -> Result<TensorSpec, OpError> {
    let classes = call.last_dim(logits)?;
    let shape = call.shape(logits);
    call.require_shape(targets, &shape[..shape.len() - 1], "the axes of logits before the last")?;
    if classes == 0 {
        return Err(call.shape_error("logits must have at least one class on the last axis, got 0"));
    }
    check_attrs(call)?;
    Ok(TensorSpec::new(call.dtype(logits).accumulator(), call.shape(targets)))
}

/// Refuses attributes for which the loss is not defined.
pub fn check_attrs(call: &Infer) -> Result<(), OpError> {
    let smoothing = call.attrs.f64("label_smoothing");
    if (0.0..=1.0).contains(&smoothing) {
        return Ok(());
    }
    let message = format!("label_smoothing must lie in [0, 1], got {smoothing}");
    Err(call.error(ErrorCode::InvalidArgument, message))
}

/// One sample of the loss: rows, classes, targets, the span of the logits, attributes.
pub struct Case {
    pub lead: &'static [usize],
    pub classes: usize,
    pub targets: Fill,
    pub span: f64,
    pub ignore: i64,
    pub z_loss: f64,
    pub corenet: bool,
    pub smoothing: f64,
}

/// Ignored targets, none that count, no rows, classes off the vector width, large logits, both z-losses.
pub fn cases() -> Vec<Case> {
    let case = |lead, classes: usize| Case {
        lead,
        classes,
        targets: Fill::Ints(0, classes as i64),
        span: 2.0,
        ignore: -100,
        z_loss: 0.0,
        corenet: false,
        smoothing: 0.0,
    };
    vec![
        Case { targets: Fill::Constant(0.0), ..case(&[1], 1) },
        case(&[3], 16),
        Case { z_loss: 1e-2, ..case(&[2, 5], 33) },
        Case { z_loss: 1e-4, smoothing: 0.1, ..case(&[0], 7) },
        Case { ignore: 2, z_loss: 1e-2, ..case(&[41], 5) },
        Case { ignore: 2, z_loss: 1e-2, corenet: true, ..case(&[41], 5) },
        Case { targets: Fill::Constant(-100.0), z_loss: 1e-2, ..case(&[6], 19) },
        Case { targets: Fill::Constant(-100.0), z_loss: 1e-2, corenet: true, ..case(&[6], 19) },
        Case { targets: Fill::Ints(-1, 67), ignore: -1, smoothing: 0.2, ..case(&[70], 67) },
        Case { span: 30.0, z_loss: 1e-3, smoothing: 0.1, ..case(&[9], 130) },
        Case { ignore: 7, z_loss: 1e-4, ..case(&[130], 257) },
    ]
}

impl Case {
    /// Logits and targets, after inputs of the shapes in `before`.
    fn inputs(&self, before: &[&[usize]]) -> Sample {
        let logits: Vec<usize> = self.lead.iter().copied().chain([self.classes]).collect();
        sample(before).and(&logits, Fill::Uniform(-self.span, self.span)).and(self.lead, self.targets)
    }

    pub fn attrs(&self, sample: Sample) -> Sample {
        sample
            .int("ignore_index", self.ignore)
            .f64("z_loss", self.z_loss)
            .attr("z_loss_mode", elm_core::Attr::Choice(usize::from(self.corenet)))
            .f64("label_smoothing", self.smoothing)
    }
}

/// The loss with its attributes, over rows of `classes` logits.
pub struct Loss {
    classes: f64,
    ignore: f64,
    z_loss: f64,
    corenet: bool,
    smoothing: f64,
}

/// What one row adds to the loss; `size` bounds the terms of `lse` and `ce`.
pub struct Row {
    pub counts: bool,
    pub lse: f64,
    pub size: f64,
    ce: f64,
}

impl Loss {
    pub fn of(attrs: &Attrs, classes: usize) -> Loss {
        Loss {
            classes: classes as f64,
            ignore: attrs.int("ignore_index") as f64,
            z_loss: attrs.f64("z_loss"),
            corenet: attrs.choice("z_loss_mode") == 1,
            smoothing: attrs.f64("label_smoothing"),
        }
    }

    pub fn row(&self, logits: &[f64], target: f64) -> Row {
        let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = top + logits.iter().map(|x| (x - top).exp()).sum::<f64>().ln();
        let largest = logits.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
        let counts = target != self.ignore;
        let mean = logits.iter().sum::<f64>() / self.classes;
        let of_target = if counts { logits[target as usize] } else { 0.0 };
        let ce = lse - (1.0 - self.smoothing) * of_target - self.smoothing * mean;
        Row { counts, lse, size: 1.0 + 3.0 * largest, ce: if counts { ce } else { 0.0 } }
    }

    /// `loss`, `ce` and `z` of all rows.
    pub fn sums(&self, rows: &[Row]) -> Vec<OracleOutput> {
        let counting = || rows.iter().filter(|row| row.counts);
        let ce: f64 = counting().map(|row| row.ce).sum();
        let ce_size: f64 = counting().map(|row| row.size + row.lse.abs()).sum();
        let ignored = if self.corenet { rows.len() - counting().count() } else { 0 };
        let constant = self.z_loss * ignored as f64 * self.classes.ln().powi(2);
        let z = self.z_loss * counting().map(|row| row.lse * row.lse).sum::<f64>() + constant;
        let z_terms: f64 = counting().map(|row| (row.lse.abs() + row.size) * row.lse.abs()).sum();
        let z_size = self.z_loss * 2.0 * z_terms + constant;
        let output = |value, size| OracleOutput { values: vec![value], magnitudes: Some(vec![size]) };
        vec![output(ce + z, ce_size + z_size), output(ce, ce_size), output(z, z_size)]
    }

    /// The gradient of one row's logits and the size of its terms; `error` is that of a logit, in roundings.
    pub fn gradient(&self, logits: &[f64], target: f64, lse: f64, error: f64) -> Vec<(f64, f64)> {
        if target == self.ignore {
            return vec![(0.0, 0.0); logits.len()];
        }
        let spread = self.smoothing / self.classes;
        let slope = 2.0 * self.z_loss * lse;
        let one = |(class, x): (usize, &f64)| {
            let p = (x - lse).exp();
            let hit = if class == target as usize { 1.0 - self.smoothing } else { 0.0 };
            let size = p * (1.0 + slope.abs() + 2.0 * self.z_loss * error) * (1.0 + error) + hit + spread;
            (p * (1.0 + slope) - hit - spread, size)
        };
        logits.iter().enumerate().map(one).collect()
    }
}

static CROSS_ENTROPY_BACKWARD: OpDef = OpDef {
    name: "cross_entropy_backward",
    doc: "Gradient of `cross_entropy` for the cotangent `grad` of `loss`:\n\
          `dlogits = grad · (softmax(logits) · (1 + 2 · z_loss · lse) − (1 − ε) · onehot(target) − ε / V)`, \
          0 in ignored rows.",
    inputs: &[input("grad"), input("logits"), input("targets").index(), input("lse")],
    attrs: ATTRS,
    outputs: &[public("dlogits")],
    infer: |call| -> Result<Specs, OpError> {
        call.require_shape(0, &[], "the loss is a scalar")?;
        let lse = check_logits(call, 1, 2)?;
        call.require_shape(3, &lse.shape, "the shape of targets")?;
        Ok(smallvec![call.arg(1).spec()])
    },
    signatures: &[
        &[F64, F64, I32, F64],
        &[F32, F32, I32, F32],
        &[F32, BF16, I32, F32],
        &[F32, F16, I32, F32],
    ],
    samples: || {
        // No probability may exceed 1: `lse` lies above all logits.
        let lse = |case: &Case| Fill::Uniform(case.span, case.span + 2.0);
        cases().iter().map(|c| c.attrs(c.inputs(&[&[]]).and(c.lead, lse(c)))).collect()
    },
    oracle: |call| {
        let classes = *call.shape(1).last().expect("the shape rule wants an axis");
        let loss = Loss::of(call.attrs, classes);
        let grad = call.values(0)[0];
        let rows = call.values(1).chunks_exact(classes).zip(call.values(2)).zip(call.values(3));
        let (values, sizes) = rows
            .flat_map(|((row, &target), &lse)| {
                let largest = row.iter().fold(lse.abs(), |size: f64, x| size.max(x.abs()));
                loss.gradient(row, target, lse, 2.0 * largest)
            })
            .map(|(value, size)| (grad * value, grad.abs() * size))
            .unzip();
        vec![OracleOutput { values, magnitudes: Some(sizes) }]
    },
    tolerance: 8.0,
    differentiable: false,
    internal: true,
    ..OpDef::EMPTY
};

#[cfg(test)]
mod tests {
    use super::*;
    use elm_core::{Attr, OracleCall};

    /// All-zero logits, one of two targets ignored, V = 32128: `lse = ln V` in both rows.
    #[test]
    fn the_z_losses_differ_by_the_ignored_positions() {
        let classes = 32128;
        let logits = vec![0.0; 2 * classes];
        for (mode, want) in [(0, 0.0107692), (1, 0.0215384)] {
            let attrs = sample(&[])
                .int("ignore_index", 32000)
                .f64("z_loss", 1e-4)
                .attr("z_loss_mode", Attr::Choice(mode))
                .attrs(&CROSS_ENTROPY);
            let call = OracleCall {
                inputs: vec![
                    Some((TensorSpec::new(F64, &[2, classes]), &logits)),
                    Some((TensorSpec::new(I32, &[2]), &[5.0, 32000.0])),
                ],
                attrs: &attrs,
                outputs: &[],
            };
            let z = (CROSS_ENTROPY.oracle)(&call)[2].values[0];
            assert!((z - want).abs() < 5e-8, "{z}");
        }
    }
}
