use crate::{Attr, Attrs, OpDef, Shape};

/// How a sample input gets its values; made in f64, then rounded to the dtype of the signature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// Uniform in `[low, high)`.
    Uniform(f64, f64),
    /// Whole numbers of `[low, high)`.
    Ints(i64, i64),
    /// 0 or 1.
    Bool,
    Constant(f64),
    /// A random order of 0 … n-1.
    Permutation,
    /// Rising whole numbers along the last axis, each value repeated a few times (document numbers).
    Documents,
    /// These, again and again.
    Values(&'static [f64]),
}

#[derive(Clone, Debug)]
pub struct SampleInput {
    pub shape: Shape,
    pub fill: Fill,
}

/// One call that conformance makes of an op, in every signature and layout.
#[derive(Clone, Debug)]
pub struct Sample {
    pub inputs: Vec<Option<SampleInput>>,
    pub attrs: Vec<(&'static str, Attr)>,
    /// Dtypes that the sample is for; all when empty.
    pub only: &'static [crate::DType],
}

/// A sample with inputs uniform in [-2, 2) of the given shapes; chain the rest.
pub fn sample(shapes: &[&[usize]]) -> Sample {
    let inputs = shapes
        .iter()
        .map(|shape| Some(SampleInput { shape: Shape::from_slice(shape), fill: Fill::Uniform(-2.0, 2.0) }))
        .collect();
    Sample { inputs, attrs: Vec::new(), only: &[] }
}

impl Sample {
    /// Another fill for the input at `position`.
    pub fn fill(mut self, position: usize, fill: Fill) -> Sample {
        if let Some(input) = &mut self.inputs[position] {
            input.fill = fill;
        }
        self
    }
    pub fn fill_all(mut self, fill: Fill) -> Sample {
        self.inputs.iter_mut().flatten().for_each(|input| input.fill = fill);
        self
    }
    /// An optional input that is not given, appended.
    pub fn absent(mut self) -> Sample {
        self.inputs.push(None);
        self
    }
    /// One more input, appended.
    pub fn and(mut self, shape: &[usize], fill: Fill) -> Sample {
        self.inputs.push(Some(SampleInput { shape: Shape::from_slice(shape), fill }));
        self
    }
    pub fn attr(mut self, name: &'static str, value: Attr) -> Sample {
        self.attrs.push((name, value));
        self
    }
    pub fn f64(self, name: &'static str, value: f64) -> Sample {
        self.attr(name, Attr::F64(value))
    }
    pub fn int(self, name: &'static str, value: i64) -> Sample {
        self.attr(name, Attr::Int(value))
    }
    pub fn bool(self, name: &'static str, value: bool) -> Sample {
        self.attr(name, Attr::Bool(value))
    }
    pub fn ints(self, name: &'static str, value: &[i64]) -> Sample {
        self.attr(name, Attr::Ints(value.iter().copied().collect()))
    }
    pub fn dtypes(self, only: &'static [crate::DType]) -> Sample {
        Sample { only, ..self }
    }

    /// The attributes in schema order, defaults filled in.
    pub fn attrs(&self, op: &'static OpDef) -> Attrs {
        let values = op.attrs.iter().map(|def| {
            let given = self.attrs.iter().find(|(name, _)| *name == def.name);
            given.map_or_else(|| def.default_value().unwrap_or(Attr::Absent), |(_, value)| value.clone())
        });
        Attrs { defs: op.attrs, values: values.collect() }
    }
}

impl crate::AttrDef {
    /// The value of the default; `None` if the attribute must be given.
    pub fn default_value(&self) -> Option<Attr> {
        use crate::Default;
        Some(match self.default {
            Default::Required => return None,
            Default::F64(v) => Attr::F64(v),
            Default::Int(v) => Attr::Int(v),
            Default::Bool(v) => Attr::Bool(v),
            Default::DType(v) => Attr::DType(v),
            Default::Choice(v) => Attr::Choice(v),
            Default::Absent => Attr::Absent,
        })
    }
}
