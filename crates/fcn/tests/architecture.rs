//! The rules of the house as tests: which crate may depend on which, which way modules look, how long a file gets,
//! and which names are not names. Every test reports all its findings, not the first.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may depend on inside the workspace. A crate that is not here is not a member.
const INSIDE: [(&str, &[&str]); 7] = [
    ("fcn", &["fcn-core", "segdata", "densecrf", "tfio"]),
    ("fcn-core", &["segdata", "conv-kernels", "densecrf", "tfio", "torchio"]),
    ("segdata", &["tfio"]),
    ("conv-kernels", &[]),
    ("densecrf", &[]),
    ("tfio", &[]),
    ("torchio", &[]),
];

/// Faces and servers: the core must work without one. Prefixes of crate names.
const NOT_IN_CORE: [&str; 6] = ["clap", "axum", "tokio", "indicatif", "hyper", "tracing-subscriber"];

/// What a leaf must not know, beyond its siblings and all of [`NOT_IN_CORE`]: a tensor framework, logging.
const NOT_IN_LEAVES: [&str; 8] = ["burn", "cubecl", "candle", "ort", "tracing", "log", "env_logger", "anyhow"];

/// Any of these would be a source of randomness that no seed controls.
const NOWHERE: [&str; 3] = ["rand", "fastrand", "getrandom"];

/// Names that say nothing, for modules and crates.
const NOT_MODULE_NAMES: [&str; 8] = ["common", "utils", "util", "types", "helpers", "helper", "misc", "shared"];

/// Endings that say nothing, for types.
const NOT_TYPE_ENDINGS: [&str; 6] = ["Manager", "Helper", "Util", "Handler", "Engine", "Processor"];

/// No file is longer.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

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

/// Every Rust file below `dir`, sorted.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
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
            refuse("a leaf knows no framework and no logging");
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
    for (name, _) in INSIDE {
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        if !text.contains("[lints]\nworkspace = true") && !text.contains("lints.workspace = true") {
            findings.push(format!("{}: no `lints.workspace = true`", shown(&manifest)));
        }
        if name != "fcn" {
            let lib = root().join("crates").join(name).join("src/lib.rs");
            let text = std::fs::read_to_string(&lib).unwrap();
            if !text.trim().is_empty() && !text.contains("deny(missing_docs)") {
                findings.push(format!("{}: no `#![deny(missing_docs)]`", shown(&lib)));
            }
        }
    }
    assert_none(findings);
}

#[test]
fn files_stay_readable() {
    let mut findings = Vec::new();
    for file in rust_files(&root().join("crates")) {
        let (name, lines) = (shown(&file), std::fs::read_to_string(&file).unwrap().lines().count());
        if lines > MAX_LINES {
            findings.push(format!("{name}: {lines} lines, more than {MAX_LINES}: split it"));
        }
    }
    for (crate_file, most) in [("crates/fcn/src/main.rs", 60), ("crates/fcn-core/src/lib.rs", 80)] {
        let lines = std::fs::read_to_string(root().join(crate_file)).unwrap().lines().count();
        if lines > most {
            findings.push(format!("{crate_file}: {lines} lines, more than {most}"));
        }
    }
    assert_none(findings);
}

#[test]
fn names_say_something() {
    let mut findings = Vec::new();
    for file in rust_files(&root().join("crates")) {
        let relative = shown(&file);
        let parts: BTreeSet<&str> = relative.trim_end_matches(".rs").split('/').collect();
        for name in NOT_MODULE_NAMES.iter().filter(|name| parts.contains(**name)) {
            findings.push(format!("{relative}: `{name}` is no name for a module"));
        }
        let text = std::fs::read_to_string(&file).unwrap();
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
    for file in rust_files(&root().join("crates")) {
        let relative = shown(&file);
        if relative == "crates/fcn/tests/architecture.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
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
