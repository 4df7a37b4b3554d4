//! `generated/ops.ts`: one typed function an op.

use std::fmt::Write;

use elm_core::{Arity, AttrDef, Default, OpDef};

use super::names::{attr_type, camel, default, input_type, result_type, tsdoc};

pub fn print() -> String {
    let mut out = String::from(
        "import type { DeviceLike } from \"../device.js\";\nimport type { DType } from \"../dtype.js\";\nimport { call, call1, type IndexOperand, type Operand } from \"../funnel.js\";\nimport type { Tensor } from \"../tensor.js\";\nimport * as table from \"./table.js\";\n",
    );
    for op in elm_ops::OPS.iter() {
        let _ = write!(out, "\n{}", options(op));
        let _ = write!(out, "{}{}", tsdoc(&doc(op), ""), function(op));
    }
    out
}

/// Sentence, formula, shapes and source of the schema, then where else the op is known.
fn doc(op: &OpDef) -> String {
    let mut text = op.doc.to_string();
    if op.internal {
        text += "\n\n@internal";
    }
    text
}

/// Attributes and optional inputs that are written in the options object.
pub fn option_attrs(op: &OpDef) -> impl Iterator<Item = &AttrDef> {
    op.attrs.iter().filter(|attr| !attr.positional)
}

pub fn has_options(op: &OpDef) -> bool {
    option_attrs(op).next().is_some() || optional_inputs(op).next().is_some() || op.inputs.is_empty()
}

fn optional_inputs(op: &OpDef) -> impl Iterator<Item = &elm_core::InputDef> {
    op.inputs.iter().filter(|input| input.arity == Arity::Optional)
}

pub fn options_name(op: &OpDef) -> String {
    let name = camel(op.name);
    name[..1].to_uppercase() + &name[1..] + "Options"
}

fn required(op: &OpDef) -> bool {
    option_attrs(op).any(|attr| attr.default == Default::Required)
}

fn options(op: &OpDef) -> String {
    if !has_options(op) {
        return String::new();
    }
    let mut out = format!(
        "/** Options of {{@link {}}}. */\nexport interface {} {{\n",
        camel(op.name),
        options_name(op)
    );
    for input in optional_inputs(op) {
        let _ = writeln!(out, "  readonly {}?: {} | null | undefined;", camel(input.name), input_type(input));
    }
    for attr in option_attrs(op) {
        let mut text = attr.doc.to_string();
        if let Some(value) = default(attr) {
            text += &format!(" Default `{value}`.");
        }
        let optional = if attr.default == Default::Required { "" } else { "?" };
        let or = if optional.is_empty() { "" } else { " | undefined" };
        let _ = writeln!(
            out,
            "  /** {text} */\n  readonly {}{optional}: {}{or};",
            camel(attr.name),
            attr_type(attr)
        );
    }
    if op.inputs.is_empty() {
        out += "  /** Where the result lies. Default: that of `withDefaults`, else `\"cpu\"`. */\n  readonly device?: DeviceLike | undefined;\n";
    }
    out + "}\n\n"
}

/// Parameters as written in a signature, without the first input for a method.
pub fn parameters(op: &OpDef, method: bool) -> Vec<String> {
    let mut list: Vec<String> = op
        .inputs
        .iter()
        .skip(usize::from(method))
        .filter(|input| input.arity != Arity::Optional)
        .map(|input| format!("{}: {}", camel(input.name), input_type(input)))
        .collect();
    list.extend(
        op.attrs.iter().filter(|a| a.positional).map(|a| format!("{}: {}", camel(a.name), attr_type(a))),
    );
    if has_options(op) {
        let optional = if required(op) { "" } else { "?" };
        list.push(format!("options{optional}: {}", options_name(op)));
    }
    list
}

fn function(op: &OpDef) -> String {
    let mut params = parameters(op, false);
    if has_options(op) {
        params.pop();
        let mut fields: Vec<String> = optional_inputs(op).map(|input| camel(input.name)).collect();
        fields.extend(option_attrs(op).map(|attr| match default(attr) {
            Some(value) => format!("{} = {value}", camel(attr.name)),
            None => camel(attr.name),
        }));
        if op.inputs.is_empty() {
            fields.push("device".into());
        }
        let default = if required(op) { "" } else { " = {}" };
        params.push(format!("{{ {} }}: {}{default}", fields.join(", "), options_name(op)));
    }
    let inputs: Vec<String> =
        op.inputs
            .iter()
            .map(|input| {
                if input.arity == Arity::List {
                    format!("...{}", camel(input.name))
                } else {
                    camel(input.name)
                }
            })
            .collect();
    let attrs: Vec<String> = op.attrs.iter().map(|attr| camel(attr.name)).collect();
    let device = if op.inputs.is_empty() { ", device" } else { "" };
    let args = format!("table.{}Op, [{}], [{}]{device}", camel(op.name), inputs.join(", "), attrs.join(", "));
    let public: Vec<_> = op.outputs.iter().filter(|output| !output.saved).collect();
    let body = match public.len() {
        0 => format!("  call({args});\n"),
        1 => format!("  return call1({args});\n"),
        _ => {
            let names: Vec<String> = public.iter().map(|o| camel(o.name)).collect();
            let fields: Vec<String> =
                names.iter().enumerate().map(|(i, name)| format!("{name}: results[{i}]!")).collect();
            format!("  const results = call({args});\n  return {{ {} }};\n", fields.join(", "))
        }
    };
    format!("export function {}({}): {} {{\n{body}}}\n", camel(op.name), params.join(", "), result_type(op))
}
