//! `generated/ops.ts` and `generated/internal.ts`: one typed function an op.

use std::fmt::Write;

use elm_core::{Arity, AttrDef, Default, OpDef};

use super::names::{attr_type, camel, default, input_type, is_public, tsdoc};
use super::result_types::{Typed, typed};

/// The functions for users.
pub fn print() -> String {
    let mut out = imports(&[
        "import type { DType } from \"../dtype.js\";",
        "import { call, call1, type IndexOperand, type Operand } from \"../funnel.js\";",
        RESULT_IMPORTS,
    ]);
    out += &all(true);
    out
}

/// `generated/internal.ts`: ops for gradient rules and for functions that say more than the op, such as random ones.
pub fn print_internal() -> String {
    let mut out = imports(&[
        "import type { DeviceLike } from \"../device.js\";",
        "import type { DType } from \"../dtype.js\";",
        "import { call, call1, type IndexOperand, type Operand } from \"../funnel.js\";",
        RESULT_IMPORTS,
    ]);
    out += &all(false);
    out
}

/// Where the types of results come from.
pub const RESULT_IMPORTS: &str =
    "import type { CommonDType, DTypeOf, FloatDType, SumDType } from \"../result-dtype.js\";";

fn imports(lines: &[&str]) -> String {
    let tail =
        "import type { Shape, Tensor } from \"../tensor.js\";\nimport * as table from \"./table.js\";\n";
    lines.join("\n") + "\n" + tail
}

fn all(public: bool) -> String {
    let mut out = String::new();
    for &op in elm_ops::OPS.iter().filter(|op| is_public(op) == public) {
        let _ = write!(out, "\n{}", options(op));
        let _ = write!(out, "{}{}", tsdoc(&doc(op), ""), function(op));
    }
    out
}

/// Sentence, formula, shapes and source of the schema, then where else the op is known.
fn doc(op: &OpDef) -> String {
    let mut text = op.doc.to_string();
    if !is_public(op) {
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
pub fn parameters(op: &OpDef, typed: &Typed, method: bool) -> Vec<String> {
    let mut list: Vec<String> = typed.this.iter().cloned().collect();
    list.extend(
        op.inputs.iter().skip(usize::from(method)).filter(|input| input.arity != Arity::Optional).map(
            |input| {
                let ty = typed.input(input).map_or_else(|| input_type(input), str::to_string);
                format!("{}: {ty}", camel(input.name))
            },
        ),
    );
    list.extend(
        op.attrs.iter().filter(|a| a.positional).map(|a| format!("{}: {}", camel(a.name), attr_type(a))),
    );
    if has_options(op) {
        let optional = if required(op) { "" } else { "?" };
        list.push(format!("options{optional}: {}", options_name(op)));
    }
    list
}

fn function(op: &'static OpDef) -> String {
    let typed = typed(op, false);
    let mut params = parameters(op, &typed, false);
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
                names.iter().enumerate().map(|(i, name)| format!("{name}: results[{i}]! as never")).collect();
            format!("  const results = call({args});\n  return {{ {} }};\n", fields.join(", "))
        }
    };
    format!(
        "export function {}{}({}): {} {{\n{body}}}\n",
        camel(op.name),
        typed.generics,
        params.join(", "),
        typed.result
    )
}
