//! Writes what is derived from the op table, and new ops. `npm run codegen` and `npm run new-op` call it.
#![forbid(unsafe_code)]

#[cfg(feature = "table")]
mod codegen;
mod files;
mod mods;
mod new_op;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "xtask: derived files

  xtask mods                        the lists of op files in elm-ops, elm-cpu and autograd
  xtask codegen (feature `table`)   TypeScript signatures, the op table, docs/ops.md
  xtask new-op NAME                 the files of a new op, whose tests fail until it is written";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let outcome = match command.as_str() {
        "mods" => mods::write(&root()),
        #[cfg(feature = "table")]
        "codegen" => codegen::write(&root()),
        "new-op" => new_op::write(&root(), &std::env::args().nth(2).unwrap_or_default(), in_table),
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the op table has this name; files of several ops hide theirs from a look at the folder.
#[cfg(feature = "table")]
fn in_table(name: &str) -> bool {
    elm_ops::find(name).is_some()
}

#[cfg(not(feature = "table"))]
fn in_table(_: &str) -> bool {
    false
}

/// The top of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
