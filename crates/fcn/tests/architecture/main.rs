//! The rules of the house as tests: which crate may depend on which, that files and folders use each other in no
//! circle, how much lies side by side, how long a file and a function get, where the program's flags may be named, and
//! which names are not names. Every test reports all its findings, not the first.
#![allow(clippy::unwrap_used)]

mod circles;
mod crowding;
mod face;
mod fixture;
mod lengths;
mod rules;
mod syntax;
mod tree;
mod uses;
mod workspace;

use std::collections::BTreeSet;
use std::process::Command;

use workspace::{assert_none, root, rust_files};

/// What each crate may depend on inside the workspace. A crate that is not here is not a member.
const INSIDE: &[(&str, &[&str])] = &[
    ("fcn", &["fcn-core", "segdata", "densecrf", "tf-io"]),
    ("fcn-core", &["segdata", "conv-kernels", "densecrf", "tf-io", "torchio"]),
    ("segdata", &["tf-io"]),
    ("conv-kernels", &[]),
    ("densecrf", &[]),
    ("tf-io", &[]),
    ("torchio", &[]),
];

/// Faces and servers: the core must work without one. Prefixes of crate names.
const NOT_IN_CORE: [&str; 6] = ["clap", "axum", "tokio", "indicatif", "hyper", "tracing-subscriber"];

/// Tensor frameworks, which `fcn-core` alone knows. Prefixes of crate names.
const ONLY_IN_CORE: [&str; 4] = ["burn", "cubecl", "candle", "ort"];

/// What a leaf must not know, beyond its siblings and all of the above: logging.
const NOT_IN_LEAVES: [&str; 4] = ["tracing", "log", "env_logger", "anyhow"];

/// Any of these would be a source of randomness that no seed controls.
const NOWHERE: [&str; 3] = ["rand", "fastrand", "getrandom"];

/// Names that say nothing, for modules and crates.
const NOT_MODULE_NAMES: [&str; 8] = ["common", "utils", "util", "types", "helpers", "helper", "misc", "shared"];

/// Endings that say nothing, for types.
const NOT_TYPE_ENDINGS: [&str; 6] = ["Manager", "Helper", "Util", "Handler", "Engine", "Processor"];

/// `(crate, dependency, kind)` for every edge that a manifest of the workspace declares.
fn edges() -> Vec<(String, String, String)> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut edges = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        assert!(INSIDE.iter().any(|(known, _)| *known == name), "`{name}` is a crate that INSIDE does not know");
        for dependency in package["dependencies"].as_array().unwrap() {
            let kind = dependency["kind"].as_str().unwrap_or("normal");
            edges.push((name.to_string(), dependency["name"].as_str().unwrap().to_string(), kind.to_string()));
        }
    }
    edges
}

/// The lines of a source file that are code outside its test module: comments and everything after `mod tests` left out.
fn code_lines(text: &str) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, line))
        .collect()
}

#[test]
fn crates_depend_only_downwards() {
    let mut findings = Vec::new();
    for (from, to, kind) in edges() {
        let allowed = INSIDE.iter().find(|(name, _)| *name == from).unwrap().1;
        let is_member = INSIDE.iter().any(|(name, _)| *name == to);
        let starts = |list: &[&str]| list.iter().any(|p| to == *p || to.starts_with(&format!("{p}-")));
        let mut refuse = |why: &str| findings.push(format!("{from} -> {to} ({kind}): {why}"));
        if is_member && !allowed.contains(&to.as_str()) {
            refuse("goes up or sideways");
        }
        if from != "fcn" && starts(&NOT_IN_CORE) {
            refuse("a face belongs in `fcn`");
        }
        if allowed.is_empty() && kind == "normal" && starts(&NOT_IN_LEAVES) {
            refuse("a leaf knows no logging");
        }
        if from != "fcn-core" && starts(&ONLY_IN_CORE) {
            refuse("the tensor engine belongs in `fcn-core`");
        }
        if starts(&NOWHERE) {
            refuse("randomness is derived in `segdata::rng`");
        }
    }
    assert_none(findings);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let mut findings = Vec::new();
    for workspace::Crate { name, .. } in workspace::crates(&root()) {
        let manifest = format!("crates/{name}/Cargo.toml");
        let text = std::fs::read_to_string(root().join(&manifest)).unwrap();
        if !text.contains("[lints]\nworkspace = true") && !text.contains("lints.workspace = true") {
            findings.push(format!("{manifest}: no `lints.workspace = true`"));
        }
        if name != "fcn" {
            let lib = format!("crates/{name}/src/lib.rs");
            let text = std::fs::read_to_string(root().join(&lib)).unwrap();
            if !text.trim().is_empty() && !text.contains("deny(missing_docs)") {
                findings.push(format!("{lib}: no `#![deny(missing_docs)]`"));
            }
        }
    }
    assert_none(findings);
}

#[test]
fn names_say_something() {
    let mut findings = Vec::new();
    for (relative, text) in rust_files(&root()) {
        let parts: BTreeSet<&str> = relative.trim_end_matches(".rs").split('/').collect();
        for name in NOT_MODULE_NAMES.iter().filter(|name| parts.contains(**name)) {
            findings.push(format!("{relative}: `{name}` is no name for a module"));
        }
        for (line, code) in code_lines(&text) {
            let Some(rest) = ["struct ", "enum ", "trait "].iter().find_map(|key| code.split_once(key)) else {
                continue;
            };
            let name: String = rest.1.chars().take_while(|c| c.is_alphanumeric()).collect();
            if NOT_TYPE_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                findings.push(format!("{relative}:{line}: `{name}` says what it is for no better than its ending"));
            }
        }
    }
    assert_none(findings);
}

#[test]
fn the_device_is_chosen_at_run_time_and_the_palette_is_written_once() {
    let mut findings = Vec::new();
    let others = |(file, _): &(String, String)| !file.starts_with("crates/fcn/tests/architecture/");
    for (relative, text) in rust_files(&root()).into_iter().filter(others) {
        for (line, code) in code_lines(&text) {
            if code.contains("Device::default()") {
                findings.push(format!("{relative}:{line}: `Device::default()` picks a device behind the user's back"));
            }
            if code.contains("224, 224, 192") || code.contains("[128, 64, 128]") && code.contains("[0, 64, 128]") {
                findings.push(format!("{relative}:{line}: a second palette; use `labels::voc_colour`"));
            }
        }
    }
    assert_none(findings);
}
