//! The files of a new op, from templates whose tests fail until the op is written.

use std::fmt::Write;
use std::io::{Error, Result};
use std::path::Path;

struct Template {
    folder: &'static str,
    ending: &'static str,
    holds: &'static str,
    text: &'static str,
}

const TEMPLATES: &[Template] = &[
    Template {
        folder: "native/crates/elm-ops/src/ops",
        ending: "rs",
        holds: "schema, shape rule, samples, oracle",
        text: include_str!("../templates/op.rs"),
    },
    Template {
        folder: "native/crates/elm-cpu/src/ops",
        ending: "rs",
        holds: "the CPU kernel",
        text: include_str!("../templates/kernel.rs"),
    },
    Template {
        folder: "packages/autograd/src/rules",
        ending: "ts",
        holds: "its gradient, and the op in other ops",
        text: include_str!("../templates/rule.ts.in"),
    },
    Template {
        folder: "packages/autograd/test/samples",
        ending: "ts",
        holds: "calls whose gradients are checked",
        text: include_str!("../templates/samples.ts.in"),
    },
];

/// Words of Rust and TypeScript that cannot name a module or a function, and the files that every room has.
const RESERVED: &str = "abstract as async await become box break case catch class const continue crate debugger default \
    delete do dyn else enum export extends extern false final finally fn for function gen generated if \
    impl implements import in instanceof interface let loop macro match mod move mut new null override \
    package priv private protected pub public ref return self static struct super switch this throw \
    trait true try type typeof unsafe unsized use var virtual void where while with yield";

/// Writes the files of the op `name` below `root`, all or none. `taken` says whether the table has the name.
pub fn write(root: &Path, name: &str, taken: impl Fn(&str) -> bool) -> Result<()> {
    check_name(name).map_err(Error::other)?;
    if taken(name) {
        return Err(Error::other(format!("there is an op {name} already; see docs/ops.md")));
    }
    let files: Vec<_> = TEMPLATES.iter().map(|t| (t, format!("{}/{name}.{}", t.folder, t.ending))).collect();
    if let Some((_, file)) = files.iter().find(|(_, file)| root.join(file).exists()) {
        return Err(Error::other(format!("{file} exists already; a file an op, choose another name")));
    }
    for (template, file) in &files {
        std::fs::create_dir_all(root.join(template.folder))?;
        std::fs::write(root.join(file), fill(template.text, name))?;
    }
    print!("{}", next_steps(name, &files));
    Ok(())
}

fn fill(template: &str, name: &str) -> String {
    template.replace("op_name", name).replace("OP_NAME", &name.to_uppercase())
}

/// The rule that a name breaks, if it breaks one.
fn check_name(name: &str) -> std::result::Result<(), String> {
    let rule = if name.is_empty() {
        "needs a name: npm run new-op NAME"
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "must begin with a lower-case letter"
    } else if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        "must be snake_case: lower-case letters, digits and single underscores"
    } else if name.contains("__") || name.ends_with('_') {
        "must have single underscores, between words only"
    } else if name.len() > 64 {
        "must have at most 64 letters"
    } else if RESERVED.split(' ').any(|word| word == name) {
        "must not be a word of Rust or TypeScript"
    } else {
        return Ok(());
    };
    Err(format!("the op {name:?} {rule}, as in rms_norm"))
}

fn next_steps(name: &str, files: &[(&Template, String)]) -> String {
    let mut text = String::from("Wrote\n");
    for (template, file) in files {
        let _ = writeln!(text, "  {file:<56} {}", template.holds);
    }
    let _ = write!(
        text,
        "\nNext\n\
         \x20 1. Fill in the schema and the oracle, then npm run codegen.\n\
         \x20 2. Write the kernel; npm run conformance -- --op {name} --verbose holds it to the oracle.\n\
         \x20 3. Write the gradient and the reference, and samples of every way they can go; the same command\n\
         \x20    compares both with finite differences.\n\
         \x20 4. npm run check, npm test, and a changeset (npx changeset).\n\
         docs/guides/add-an-op.md walks through a real one.\n"
    );
    text
}

// The tests compile the templates as they stand, so that these cannot rot.
#[cfg(test)]
#[path = "../templates/kernel.rs"]
mod kernel;
#[cfg(test)]
#[path = "../templates/op.rs"]
mod op;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use elm_core::{Attrs, KernelCall};

    use super::{TEMPLATES, check_name, kernel, op, write};

    /// An empty folder of this test.
    fn folder(test: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("openelm-new-op-{}-{test}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn each_room_gets_a_file_with_the_name_in_it() {
        let root = folder("rooms");

        write(&root, "soft_cap", |_| false).unwrap();

        for template in TEMPLATES {
            let file = root.join(template.folder).join(format!("soft_cap.{}", template.ending));
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.contains("soft_cap") && !text.to_lowercase().contains("op_name"), "{text}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn an_existing_name_is_refused_and_nothing_is_written() {
        let root = folder("existing");
        let rule = root.join("packages/autograd/src/rules");
        std::fs::create_dir_all(&rule).unwrap();
        std::fs::write(rule.join("soft_cap.ts"), "mine").unwrap();

        let in_table = write(&root, "exp", |name| name == "exp").unwrap_err().to_string();
        let on_disk = write(&root, "soft_cap", |_| false).unwrap_err().to_string();

        assert!(in_table.contains("there is an op exp already"), "{in_table}");
        assert!(on_disk.contains("rules/soft_cap.ts exists already"), "{on_disk}");
        assert!(!root.join("native").exists());
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn bad_names_are_refused_with_the_rule() {
        for (name, rule) in [
            ("", "needs a name"),
            ("softCap", "snake_case"),
            ("soft-cap", "snake_case"),
            ("../soft", "begin with a lower-case letter"),
            ("1d_conv", "begin with a lower-case letter"),
            ("soft__cap", "single underscores"),
            ("soft_", "single underscores"),
            ("where", "word of Rust or TypeScript"),
            ("mod", "word of Rust or TypeScript"),
        ] {
            let error = check_name(name).unwrap_err();
            assert!(error.contains(rule), "{name}: {error}");
        }
        for name in ["relu", "rms_norm", "conv_2d"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }

    #[test]
    fn the_templates_make_an_op_whose_kernel_says_what_to_write() {
        let def = op::OPS[0];
        assert_eq!(def.name, kernel::KERNELS[0].op);
        assert!(!(def.samples)().is_empty());
        let context = &();
        let attrs = &Attrs { defs: &[], values: Default::default() };
        let call = KernelCall { attrs, inputs: &[], outputs: &[], workspace: std::ptr::null_mut(), context };

        let error = (kernel::KERNELS[0].run)(&call).unwrap_err();

        assert!(error.message.starts_with("write the kernel: native/crates/elm-cpu/src/ops/"), "{error:?}");
    }
}
