//! `generated/methods.ts`: the same functions as methods, attached once.

use std::fmt::Write;

use elm_core::{Arity, OpDef};

use super::functions::{RESULT_IMPORTS, has_options, options_name, parameters};
use super::names::{camel, is_public, tsdoc};
use super::result_types::typed;

fn is_method(op: &OpDef) -> bool {
    is_public(op) && op.inputs.first().is_some_and(|input| input.arity == Arity::One && !input.mutates)
}

pub fn print() -> String {
    let ops = || elm_ops::OPS.iter().filter(|op| is_method(op));
    let mut out = format!(
        "import type {{ DType }} from \"../dtype.js\";\nimport type {{ IndexOperand, Operand }} from \"../funnel.js\";\n{RESULT_IMPORTS}\nimport type {{ Shape, Tensor }} from \"../tensor.js\";\nimport * as ops from \"./ops.js\";\n\n"
    );
    out += "/** Ops as methods of a tensor, which is their first input. */\nexport interface OpMethods {\n";
    for &op in ops() {
        let typed = typed(op, true);
        let params: Vec<String> = parameters(op, &typed, true)
            .into_iter()
            .map(|p| {
                if has_options(op) {
                    p.replace(&options_name(op), &format!("ops.{}", options_name(op)))
                } else {
                    p
                }
            })
            .collect();
        let first = op.doc.split("\n\n").next().unwrap_or_default();
        let _ = write!(out, "{}", tsdoc(first, "  "));
        let _ =
            writeln!(out, "  {}{}({}): {};", camel(op.name), typed.generics, params.join(", "), typed.result);
    }
    out += "}\n\n/** The functions behind the methods. */\nexport const OP_METHODS = {\n";
    for op in ops() {
        let _ = writeln!(out, "  {0}: ops.{0},", camel(op.name));
    }
    out + "};\n"
}
