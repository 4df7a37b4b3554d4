//! Which dtype each result of an op has, found by asking its shape rule, and how that is written in TypeScript.

use elm_core::{Arg, Arity, Attr, DType, Infer, InputDef, Layout, OpDef, Promotion};

use super::names::camel;

/// The dtype of one output, as a function of the dtypes of the inputs after promotion.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    /// That of the first input that carries values.
    Same,
    /// Floats keep theirs, anything else becomes i64.
    Summed,
    Fixed(DType),
    /// Not told by the types.
    Open,
}

/// Type parameters, types of the inputs they stand in, and the type of the result.
pub struct Typed {
    /// `<A extends Operand>`, or nothing.
    pub generics: String,
    /// `this: Tensor<Shape, D>` where the method needs it.
    pub this: Option<String>,
    /// Input name and its type, where that is a parameter.
    inputs: Vec<(&'static str, String)>,
    pub result: String,
}

impl Typed {
    pub fn input(&self, def: &InputDef) -> Option<&str> {
        self.inputs.iter().find(|(name, _)| *name == def.name).map(|(_, ty)| ty.as_str())
    }
}

fn carries_values(input: &InputDef) -> bool {
    input.differentiable && !input.mutates && input.arity != Arity::Optional
}

pub fn typed(op: &'static OpDef, method: bool) -> Typed {
    let rules = rules(op);
    let values: Vec<&InputDef> = op.inputs.iter().filter(|input| carries_values(input)).collect();
    let promoted = op.promotion != Promotion::None;
    let depends = rules.iter().any(|rule| matches!(rule, Rule::Same | Rule::Summed));
    if !depends || values.is_empty() || (promoted && values.len() > 2) {
        let open: Vec<Rule> = rules
            .iter()
            .map(|rule| if matches!(rule, Rule::Fixed(_)) { *rule } else { Rule::Open })
            .collect();
        return Typed {
            generics: String::new(),
            this: None,
            inputs: Vec::new(),
            result: result(op, &open, ""),
        };
    }
    let on_this = method && op.inputs[0].name == values[0].name;
    let list = values[0].arity == Arity::List;
    let first = if on_this { "Tensor<Shape, D>" } else { "A" };
    let mut generics = vec![if on_this { "D extends DType" } else { "A extends Operand" }];
    let mut inputs = Vec::new();
    if !on_this {
        inputs.push((values[0].name, if list { "readonly A[]".into() } else { "A".to_string() }));
    }
    let mut dtype = if on_this { "D".to_string() } else { "DTypeOf<A>".to_string() };
    if promoted && (list || values.len() == 2) {
        let second = if list { "A" } else { "B" };
        dtype = format!("CommonDType<{first}, {second}>");
        if !list {
            generics.push("B extends Operand");
            inputs.push((values[1].name, "B".into()));
        }
    }
    if op.promotion == Promotion::Float {
        dtype = format!("FloatDType<{dtype}>");
    }
    Typed {
        generics: format!("<{}>", generics.join(", ")),
        this: on_this.then(|| "this: Tensor<Shape, D>".into()),
        inputs,
        result: result(op, &rules, &dtype),
    }
}

fn result(op: &OpDef, rules: &[Rule], dtype: &str) -> String {
    let tensor = |rule: &Rule| match rule {
        Rule::Same => format!("Tensor<Shape, {dtype}>"),
        Rule::Summed => format!("Tensor<Shape, SumDType<{dtype}>>"),
        Rule::Fixed(dtype) => format!("Tensor<Shape, \"{dtype}\">"),
        Rule::Open => "Tensor".into(),
    };
    let public = op.outputs.iter().filter(|output| !output.saved);
    match rules {
        [] => "void".into(),
        [one] => tensor(one),
        many => {
            let fields: Vec<String> =
                public.zip(many).map(|(o, rule)| format!("{}: {}", camel(o.name), tensor(rule))).collect();
            format!("{{ {} }}", fields.join("; "))
        }
    }
}

/// One rule for each public output, the narrowest that all samples agree with.
fn rules(op: &'static OpDef) -> Vec<Rule> {
    let seen = observe(op);
    let public = op.outputs.iter().enumerate().filter(|(_, output)| !output.saved);
    public
        .map(|(i, _)| {
            let pairs: Vec<(DType, DType)> =
                seen.iter().filter_map(|(input, outputs)| Some((*input, *outputs.get(i)?))).collect();
            let Some(&(_, first)) = pairs.first() else { return Rule::Open };
            let summed = |dtype: DType| if dtype.is_float() { dtype } else { DType::I64 };
            if pairs.iter().all(|(_, output)| *output == first) {
                Rule::Fixed(first)
            } else if pairs.iter().all(|(input, output)| input == output) {
                Rule::Same
            } else if pairs.iter().all(|(input, output)| summed(*input) == *output) {
                Rule::Summed
            } else {
                Rule::Open
            }
        })
        .collect()
}

/// Dtypes of the first value input and of the outputs, over signatures and samples without an asked-for dtype.
fn observe(op: &'static OpDef) -> Vec<(DType, Vec<DType>)> {
    let Some(first) = op.inputs.iter().position(carries_values) else { return Vec::new() };
    let mut seen = Vec::new();
    for sample in (op.samples)() {
        if sample.attrs.iter().any(|(_, value)| matches!(value, Attr::DType(_))) {
            continue;
        }
        let layouts: Vec<Option<Layout>> = sample
            .inputs
            .iter()
            .map(|input| input.as_ref().map(|input| Layout::contiguous(&input.shape)))
            .collect();
        let attrs = sample.attrs(op);
        for signature in op.signatures {
            let dtype = |i: usize| signature[op.input_index(i, layouts.len()).min(signature.len() - 1)];
            let inputs: Vec<Option<Arg>> = layouts
                .iter()
                .enumerate()
                .map(|(i, layout)| layout.as_ref().map(|layout| Arg { dtype: dtype(i), layout }))
                .collect();
            if let Ok(specs) = (op.infer)(&Infer { op, inputs: &inputs, attrs: &attrs }) {
                let wanted = signature[first.min(signature.len() - 1)];
                seen.push((wanted, specs.iter().map(|spec| spec.dtype).collect()));
            }
        }
    }
    seen
}
