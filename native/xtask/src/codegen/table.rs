//! `generated/table.ts`: what the funnel needs to know of an op at run time; `generated/promotion.ts`.

use std::fmt::Write;

use elm_core::{Arity, AttrKind, Autocast, DType, Default, OpDef, Promotion, promote};

use super::names::{attr_type, camel};

pub fn print() -> String {
    let mut out = String::from(
        "import type { DType } from \"../dtype.js\";\nimport { type OpInfo, op } from \"../op-info.js\";\nimport type { Tensor } from \"../tensor.js\";\n\n",
    );
    let _ = writeln!(
        out,
        "/** Fingerprint of the table; the native core has the same or is not used. */\nexport const TABLE_HASH = {};\n",
        elm_ops::table::hash()
    );
    for (index, def) in elm_ops::OPS.iter().enumerate() {
        let _ = writeln!(out, "export const {} = /* @__PURE__ */ op({});", constant(def), info(index, def));
    }
    out += "\n/** Every op by name. */\nexport const OPS: ReadonlyMap<string, OpInfo> = /* @__PURE__ */ new Map(\n  [\n";
    for def in elm_ops::OPS.iter() {
        let _ = writeln!(out, "    {},", constant(def));
    }
    out += "  ].map((info): [string, OpInfo] => [info.name, info]),\n);\n\n";
    out += "/** Types of every op: inputs and outputs by name, attributes as the kernel gets them. */\nexport interface OpTable {\n";
    for def in elm_ops::OPS.iter() {
        let _ = writeln!(out, "  {}: {};", def.name, types(def));
    }
    out + "}\n\n/** The id of an op. */\nexport type OpName = keyof OpTable;\n"
}

fn constant(def: &OpDef) -> String {
    format!("{}Op", camel(def.name))
}

fn info(index: usize, def: &OpDef) -> String {
    let inputs: Vec<String> = def
        .inputs
        .iter()
        .map(|input| {
            let arity = match input.arity {
                Arity::One => "one",
                Arity::Optional => "optional",
                Arity::List => "list",
            };
            let mut text = format!("{{ name: \"{}\", arity: \"{arity}\"", camel(input.name));
            if input.mutates {
                text += ", mutates: true";
            } else if !input.differentiable {
                text += ", index: true";
            }
            text + " }"
        })
        .collect();
    let attrs: Vec<String> = def
        .attrs
        .iter()
        .map(|attr| {
            let mut text = format!("{{ name: \"{}\", kind: \"{}\"", camel(attr.name), kind(attr.kind));
            if attr.default == Default::Absent {
                text += ", optional: true";
            }
            if let AttrKind::Choice(names) = attr.kind {
                text += &format!(", choices: {names:?}");
            }
            text + " }"
        })
        .collect();
    let outputs: Vec<String> = def
        .outputs
        .iter()
        .map(|output| {
            let saved = if output.saved { ", saved: true" } else { "" };
            format!("{{ name: \"{}\"{saved} }}", camel(output.name))
        })
        .collect();
    let mut text = format!(
        "{{\n  index: {index},\n  name: \"{}\",\n  inputs: [{}],\n  attrs: [{}],\n  outputs: [{}],\n",
        def.name,
        inputs.join(", "),
        attrs.join(", "),
        outputs.join(", ")
    );
    match def.promotion {
        Promotion::None => {}
        Promotion::Common => text += "  promotion: \"common\",\n",
        Promotion::Float => text += "  promotion: \"float\",\n",
    }
    if def.autocast == Autocast::Lower {
        text += "  autocast: \"lower\",\n";
    }
    if !def.differentiable {
        text += "  differentiable: false,\n";
    }
    if def.view.is_some() {
        text += "  view: true,\n";
    }
    text + "}"
}

fn kind(kind: AttrKind) -> &'static str {
    match kind {
        AttrKind::F64 => "f64",
        AttrKind::Int => "int",
        AttrKind::Bool => "bool",
        AttrKind::Ints => "ints",
        AttrKind::Axis => "axis",
        AttrKind::Axes => "axes",
        AttrKind::DType => "dtype",
        AttrKind::Choice(_) => "choice",
    }
}

fn types(def: &OpDef) -> String {
    let inputs = def.inputs.iter().map(|input| match input.arity {
        Arity::One => format!("{}: Tensor", camel(input.name)),
        Arity::Optional => format!("{}: Tensor | null", camel(input.name)),
        Arity::List => format!("{}: readonly Tensor[]", camel(input.name)),
    });
    let attrs = def.attrs.iter().map(|attr| {
        let (name, mut kind) = (camel(attr.name), attr_type(attr));
        if attr.default == Default::Absent {
            kind += " | undefined";
        }
        format!("{name}: {kind}")
    });
    let outputs = def.outputs.iter().map(|output| format!("{}: Tensor", camel(output.name)));
    format!("{{ inputs: {}; attrs: {}; outputs: {} }}", record(inputs), record(attrs), record(outputs))
}

fn record(fields: impl Iterator<Item = String>) -> String {
    let fields: Vec<String> = fields.collect();
    if fields.is_empty() { "Record<never, never>".into() } else { format!("{{ {} }}", fields.join("; ")) }
}

pub fn print_promotion() -> String {
    let mut out = String::from(
        "import type { DType } from \"../dtype.js\";\n\n/** The common dtype of two elementwise operands; docs/numerics.md explains the table. */\nexport const PROMOTION = {\n",
    );
    for &a in DType::ALL {
        let row: Vec<String> = DType::ALL
            .iter()
            .map(|&b| format!("{b}: \"{}\"", promote(a, b).expect("every pair has a common dtype")))
            .collect();
        let _ = writeln!(out, "  {a}: {{ {} }},", row.join(", "));
    }
    out + "} as const satisfies Readonly<Record<DType, Readonly<Record<DType, DType>>>>;\n"
}
