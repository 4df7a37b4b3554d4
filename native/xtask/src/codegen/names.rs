//! How the words of a schema are written in TypeScript.

use elm_core::{Arity, AttrDef, AttrKind, Default, InputDef, OpDef};

pub fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let mut chars = part.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        out.extend(chars);
    }
    out
}

/// The type of an attribute as callers write it.
pub fn attr_type(def: &AttrDef) -> String {
    match def.kind {
        AttrKind::F64 | AttrKind::Int | AttrKind::Axis => "number".into(),
        AttrKind::Bool => "boolean".into(),
        AttrKind::Ints => "readonly number[]".into(),
        AttrKind::Axes => "number | readonly number[]".into(),
        AttrKind::DType => "DType".into(),
        AttrKind::Choice(names) => names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(" | "),
    }
}

/// The default as TypeScript, if there is one.
pub fn default(def: &AttrDef) -> Option<String> {
    Some(match (def.default, def.kind) {
        (Default::F64(v), _) => number(v),
        (Default::Int(v), _) => v.to_string(),
        (Default::Bool(v), _) => v.to_string(),
        (Default::DType(v), _) => format!("\"{v}\""),
        (Default::Choice(i), AttrKind::Choice(names)) => format!("\"{}\"", names[i]),
        _ => return None,
    })
}

fn number(v: f64) -> String {
    if v.is_infinite() {
        return if v > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    if v != 0.0 && v.abs() < 1e-3 { format!("{v:e}") } else { v.to_string() }
}

/// The type of an input as callers write it.
pub fn input_type(def: &InputDef) -> String {
    let one = if def.mutates {
        "Tensor"
    } else if def.differentiable {
        "Operand"
    } else {
        "IndexOperand"
    };
    if def.arity == Arity::List { format!("readonly {one}[]") } else { one.into() }
}

/// Whether users call the generated function itself. Random ops and those that make a tensor from nothing have
/// functions around them that know the generator and the defaults.
pub fn is_public(op: &OpDef) -> bool {
    !op.internal && !op.random && !op.inputs.is_empty()
}

/// A comment in TypeScript, indented by `pad`.
pub fn tsdoc(text: &str, pad: &str) -> String {
    let mut out = format!("{pad}/**\n");
    for line in text.lines() {
        let line = line.replace("*/", "* /");
        out += &if line.is_empty() { format!("{pad} *\n") } else { format!("{pad} * {line}\n") };
    }
    out + pad + " */\n"
}
