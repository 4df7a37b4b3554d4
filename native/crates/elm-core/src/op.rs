use smallvec::SmallVec;

use crate::{AttrDef, Attrs, DType, Infer, Layout, OpError, Sample, TensorSpec};

/// How many tensors stand behind one input of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    One,
    /// May be absent.
    Optional,
    /// Any number. Lists come last, all of one length: a call holds the first list, then the second, and so on.
    List,
}

#[derive(Clone, Copy, Debug)]
pub struct InputDef {
    pub name: &'static str,
    pub arity: Arity,
    /// The op writes into this tensor.
    pub mutates: bool,
    /// A cotangent may exist for it; indices and masks have none.
    pub differentiable: bool,
}

pub const fn input(name: &'static str) -> InputDef {
    InputDef { name, arity: Arity::One, mutates: false, differentiable: true }
}
pub const fn optional(name: &'static str) -> InputDef {
    InputDef { arity: Arity::Optional, ..input(name) }
}
pub const fn list(name: &'static str) -> InputDef {
    InputDef { arity: Arity::List, ..input(name) }
}
pub const fn mutable(name: &'static str) -> InputDef {
    InputDef { mutates: true, differentiable: false, ..input(name) }
}

impl InputDef {
    /// For ids, positions and masks.
    pub const fn index(self) -> InputDef {
        InputDef { differentiable: false, ..self }
    }
    pub const fn mutated(self) -> InputDef {
        InputDef { mutates: true, differentiable: false, ..self }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct OutputDef {
    pub name: &'static str,
    /// Computed for the gradient rule only, when somebody wants it.
    pub saved: bool,
}

pub const fn public(name: &'static str) -> OutputDef {
    OutputDef { name, saved: false }
}
pub const fn saved(name: &'static str) -> OutputDef {
    OutputDef { name, saved: true }
}

/// Dtypes of the inputs of one kernel, one entry for each input of the schema (a list has one for all its
/// tensors); the last entry repeats.
pub type Signature = &'static [DType];

pub type Specs = SmallVec<[TensorSpec; 2]>;

/// What the front end does to the dtypes of a call before it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    None,
    /// Casts all tensor inputs to their common dtype; numbers take it.
    Common,
    /// The same, and integers become f32 first (`exp`, `div`, `mean`).
    Float,
}

/// What an active `autocast` does to f32 inputs of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autocast {
    Keep,
    /// Runs in the lower precision: matmuls and attention.
    Lower,
}

/// Inputs of one call as f64, row-major, rounded to their dtypes.
pub struct OracleCall<'a> {
    pub inputs: Vec<Option<(TensorSpec, &'a [f64])>>,
    pub attrs: &'a Attrs,
    pub outputs: &'a [TensorSpec],
}

impl OracleCall<'_> {
    pub fn shape(&self, input: usize) -> &[usize] {
        &self.spec(input).shape
    }
    pub fn spec(&self, input: usize) -> &TensorSpec {
        &self.inputs[input].as_ref().expect("the input is present").0
    }
    pub fn values(&self, input: usize) -> &[f64] {
        self.inputs[input].as_ref().expect("the input is present").1
    }
    /// Positions of the tensors of the list that is input `index` of `op`.
    pub fn list(&self, op: &OpDef, index: usize) -> std::ops::Range<usize> {
        op.input_range(index, self.inputs.len())
    }
    pub fn has(&self, input: usize) -> bool {
        self.inputs.get(input).is_some_and(Option::is_some)
    }
}

/// The true values of one output, and for each the size of the terms that were summed to it.
///
/// A kernel may be off by `eps(output) · |value| + c · eps(accumulator) · magnitude`.
#[derive(Clone, Debug)]
pub struct OracleOutput {
    pub values: Vec<f64>,
    pub magnitudes: Option<Vec<f64>>,
}

impl From<Vec<f64>> for OracleOutput {
    fn from(values: Vec<f64>) -> OracleOutput {
        OracleOutput { values, magnitudes: None }
    }
}

/// The one truth about an op: what it takes and gives, its shape rule, samples and definition in f64.
///
/// Start from [`OpDef::EMPTY`]: `OpDef { name: "relu", …, ..OpDef::EMPTY }`.
pub struct OpDef {
    /// snake_case; names the files of the op in every language.
    pub name: &'static str,
    /// One sentence, formula, shapes, dtypes, source. Becomes the TSDoc of the generated function.
    pub doc: &'static str,
    /// Names in other libraries, for the table in docs/ops.md.
    pub torch: &'static str,
    pub numpy: &'static str,
    pub inputs: &'static [InputDef],
    pub attrs: &'static [AttrDef],
    pub outputs: &'static [OutputDef],
    pub infer: fn(&Infer) -> Result<Specs, OpError>,
    /// Set for ops that rearrange the view of a storage. `None` from it means that these strides cannot express
    /// the result, and the kernel makes a copy (an op that never says `None` has no kernel).
    pub view: Option<fn(&Infer) -> Result<Option<Layout>, OpError>>,
    pub signatures: &'static [Signature],
    pub samples: fn() -> Vec<Sample>,
    /// True values of the outputs, then of each mutated input.
    pub oracle: fn(&OracleCall) -> Vec<OracleOutput>,
    /// `c` of the error bound; how many roundings the kernel may make on one term.
    pub tolerance: f64,
    pub promotion: Promotion,
    pub autocast: Autocast,
    /// Takes `seed` and `counter`; the front end reserves `⌈n / 4⌉` counters, `n` being the larger of the elements of
    /// output 0 and of input 0 (if there is one).
    pub random: bool,
    pub differentiable: bool,
    /// Called by gradient rules and other packages of this repository, not by users.
    pub internal: bool,
}

impl OpDef {
    pub const EMPTY: OpDef = OpDef {
        name: "",
        doc: "",
        torch: "",
        numpy: "",
        inputs: &[],
        attrs: &[],
        outputs: &[public("y")],
        infer: |_| Ok(Specs::new()),
        view: None,
        signatures: &[],
        samples: Vec::new,
        oracle: |_| Vec::new(),
        tolerance: 4.0,
        promotion: Promotion::None,
        autocast: Autocast::Keep,
        random: false,
        differentiable: true,
        internal: false,
    };

    #[inline]
    pub fn mutates(&self) -> bool {
        self.inputs.iter().any(|input| input.mutates)
    }

    /// Inputs that are not lists.
    #[inline]
    pub fn fixed_inputs(&self) -> usize {
        self.inputs.iter().filter(|input| input.arity != Arity::List).count()
    }

    /// Position in the schema of the tensor at `position` of a call with `total` tensors.
    #[inline]
    pub fn input_index(&self, position: usize, total: usize) -> usize {
        // Lists come last, so an entry that is none stands at its own position.
        if self.inputs.get(position).is_some_and(|input| input.arity != Arity::List) {
            return position;
        }
        let fixed = self.fixed_inputs();
        let length = (total - fixed) / (self.inputs.len() - fixed).max(1);
        (fixed + (position - fixed) / length.max(1)).min(self.inputs.len() - 1)
    }

    /// The schema entry of the tensor at `position` of a call with `total` tensors.
    #[inline]
    pub fn input_at(&self, position: usize, total: usize) -> &InputDef {
        &self.inputs[self.input_index(position, total)]
    }

    /// Where the tensors of input `index` stand in a call with `total` tensors.
    pub fn input_range(&self, index: usize, total: usize) -> std::ops::Range<usize> {
        let fixed = self.fixed_inputs();
        if index < fixed {
            return index..index + 1;
        }
        let length = (total - fixed) / (self.inputs.len() - fixed);
        fixed + (index - fixed) * length..fixed + (index - fixed + 1) * length
    }

    /// Whether a kernel exists for these dtypes.
    #[inline]
    pub fn accepts(&self, dtypes: impl ExactSizeIterator<Item = Option<DType>> + Clone) -> bool {
        let total = dtypes.len();
        self.signatures.iter().any(|signature| {
            dtypes.clone().enumerate().all(|(i, dtype)| {
                let wanted = signature[self.input_index(i, total).min(signature.len() - 1)];
                dtype.is_none_or(|dtype| dtype == wanted)
            })
        })
    }
}
