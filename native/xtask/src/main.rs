//! Writes what is derived from the op table, and new ops. `npm run codegen` and `npm run new-op` call it.
#![forbid(unsafe_code)]

mod mods;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "xtask: derived files

  xtask mods     the lists of op files in elm-ops and elm-cpu";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let outcome = match command.as_str() {
        "mods" => mods::write(&root()),
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

/// The top of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
