//! Files that are read in one go, and functions that fit on a screen or say why they do not.

use super::syntax::functions;
use super::workspace::{assert_none, root, rust_files};

/// No file is longer.
const MAX_FILE: usize = 600;

/// No function is longer, from `fn` to its closing brace, unless it is in [`LONG`].
const MAX_FUNCTION: usize = 60;

/// Functions that may be longer: crate, name, the most lines, and why.
const LONG: [(&str, &str, usize, &str); 15] = [
    ("fcn-core", "train", 150, "the training loop, written out from top to bottom"),
    ("fcn-core", "evaluate", 99, "one arm for each ONNX operator"),
    ("segdata", "contradicting", 71, "a table of cases"),
    ("segdata", "scores_of_small_cases", 63, "a table of cases"),
    ("conv-kernels", "forward", 124, "one loop nest, whose buffers are shared by its stages"),
    ("conv-kernels", "transform_all", 83, "one loop nest, whose vectors have to stay in registers"),
    ("conv-kernels", "multiply", 70, "one loop nest, whose vectors have to stay in registers"),
    ("conv-kernels", "vertical", 61, "one loop nest, whose vectors have to stay in registers"),
    ("conv-kernels", "run", 70, "a test with a line for each vector operation"),
    ("conv-kernels", "forward_and_gradients_agree_with_f64_on_every_instruction_set", 61, "a table of cases"),
    ("conv-kernels", "products_agree_with_the_definition_on_every_instruction_set", 63, "a table of cases"),
    ("fcn", "no_file_costs_more_than_a_second_and_64_mib", 64, "a table of cases"),
    ("fcn", "every_fault_of_the_input_has_its_exit_code_and_its_remedy", 83, "a table of cases"),
    ("torchio", "step", 111, "one arm for each opcode of pickle"),
    ("torchio", "archives_that_lie_are_refused_for_the_right_reason", 61, "a table of cases"),
];

/// The functions of `(path, text)` that are longer than [`MAX_FUNCTION`]: crate, name, lines, place.
pub fn long_functions(files: &[(String, String)]) -> Vec<(String, String, usize, String)> {
    let mut long = Vec::new();
    for (file, text) in files {
        let syntax = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        let member = file.split('/').nth(1).unwrap_or_default().to_string();
        for (name, line, lines) in functions(&syntax).into_iter().filter(|found| found.2 > MAX_FUNCTION) {
            long.push((member.clone(), name, lines, format!("{file}:{line}")));
        }
    }
    long
}

#[test]
fn files_stay_readable() {
    let mut findings = Vec::new();
    for (name, text) in rust_files(&root()) {
        let most = match name.as_str() {
            "crates/fcn/src/main.rs" => 60,
            "crates/fcn-core/src/lib.rs" => 80,
            _ => MAX_FILE,
        };
        let lines = text.lines().count();
        if lines > most {
            findings.push(format!("{name}: {lines} lines, more than {most}: split it"));
        }
    }
    assert_none(findings);
}

#[test]
fn functions_fit_on_a_screen() {
    let long = long_functions(&rust_files(&root()));
    let mut findings = Vec::new();
    for (member, name, lines, place) in &long {
        let entries = LONG.iter().filter(|entry| entry.0 == member && entry.1 == name);
        let most = entries.map(|entry| entry.2).max().unwrap_or(MAX_FUNCTION);
        if *lines > most {
            findings.push(format!("{place}: `{name}` has {lines} lines, more than {most}: split it"));
        }
    }
    for (member, name, ..) in LONG {
        if !long.iter().any(|found| found.0 == member && found.1 == name) {
            findings.push(format!("LONG: no `{name}` of {member} is long: take its entry out"));
        }
    }
    assert_none(findings);
}

#[test]
fn a_function_is_as_long_as_its_lines() {
    let text =
        "/// Docs.\n#[inline]\nfn f(\n    x: u8,\n) -> u8 {\n    x\n}\n\nimpl T { fn g() {\n} }\ntrait U { fn h(); }\n";
    let found = functions(&syn::parse_file(text).unwrap());
    assert_eq!(found, [("f".to_string(), 3, 5), ("g".to_string(), 9, 2)]);
}
