//! What the documents say must be true: paths they name exist, commands they show parse, and the test command of the
//! README is the one that `.ci/run` runs.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Documents whose every path and command is checked.
const DOCUMENTS: [&str; 16] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/add-a-dataset.md",
    "docs/add-a-model.md",
    "docs/configuration.md",
    "docs/export.md",
    "docs/formats.md",
    "docs/install.md",
    "docs/numerics.md",
    "docs/performance.md",
    "docs/release.md",
    "docs/reproduce.md",
    "docs/weights.md",
    "packaging/python/README.md",
];

/// The first folder of a path that means a file of this repository.
const OWN_FOLDERS: [&str; 10] =
    ["crates/", "docs/", "configs/", "packaging/", "reference/", "testdata/", "fuzz/", ".ci/", ".github/", "src/"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

fn documents() -> impl Iterator<Item = (&'static str, String)> {
    DOCUMENTS.iter().filter_map(|name| Some((*name, std::fs::read_to_string(root().join(name)).ok()?)))
}

fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Everything between backticks, and the targets of links, outside fenced blocks.
fn named_things(text: &str) -> Vec<(usize, String)> {
    let mut things = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            things.extend(line.split('`').skip(1).step_by(2).map(|thing| (at + 1, thing.to_string())));
            let links = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            things.extend(links.map(|(target, _)| (at + 1, format!("link:{target}"))));
        }
    }
    things
}

#[test]
fn every_path_that_a_document_names_exists() {
    let mut findings = Vec::new();
    for (name, text) in documents() {
        let folder = root().join(name).parent().unwrap().to_path_buf();
        for (line, thing) in named_things(&text) {
            let found = match thing.strip_prefix("link:") {
                Some(link) if link.contains("://") || link.starts_with('#') => true,
                Some(link) => folder.join(link.split('#').next().unwrap()).exists(),
                None if !OWN_FOLDERS.iter().any(|own| thing.starts_with(own)) => true,
                None if thing.contains([' ', '*', '<', '{']) => true,
                None => root().join(&thing).exists() || root().join("crates/fcn-core").join(&thing).exists(),
            };
            if !found {
                findings.push(format!("{name}:{line}: `{thing}` does not exist"));
            }
        }
    }
    assert_none(findings);
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let config = fcn_core::train::TrainConfig::default().to_toml().unwrap();
    let keys = config.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key);
    assert_none(
        keys.filter(|key| !page.contains(&format!("`{key}`"))).map(|key| format!("{key} is missing")).collect(),
    );
}

/// The commands in fenced blocks that call this program: the words after `fcn`.
fn shown_commands(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut commands = Vec::new();
    let mut fenced = false;
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let line = line.trim().trim_start_matches("$ ");
        let start = ["cargo run --release -- ", "./target/release/fcn ", "target/release/fcn ", "fcn "]
            .iter()
            .find_map(|prefix| line.strip_prefix(prefix));
        let (from, mut words) = match (open.take(), start) {
            (Some((from, begun)), _) => (from, format!("{begun} {line}")),
            (None, Some(rest)) if fenced => (at + 1, rest.to_string()),
            _ => continue,
        };
        if words.ends_with('\\') {
            words.pop();
            open = Some((from, words));
            continue;
        }
        let code = words.split(" #").next().unwrap_or_default().to_string();
        commands.push((from, code.split_whitespace().map(str::to_string).collect()));
    }
    commands
}

fn help(subcommand: &str) -> Option<String> {
    let out = Command::new(env!("CARGO_BIN_EXE_fcn")).args([subcommand, "--help"]).output().unwrap();
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
fn every_command_that_a_document_shows_exists_with_its_flags() {
    let mut findings = Vec::new();
    let mut seen: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (name, text) in documents() {
        for (line, words) in shown_commands(&text) {
            let Some(subcommand) = words.first().filter(|word| !word.starts_with('-')) else { continue };
            let Some(help) = seen.entry(subcommand.clone()).or_insert_with(|| help(subcommand)) else {
                findings.push(format!("{name}:{line}: there is no `fcn {subcommand}`"));
                continue;
            };
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap();
                if !help.split(|c: char| !c.is_alphanumeric() && c != '-').any(|known| known == flag) {
                    findings.push(format!("{name}:{line}: `fcn {subcommand}` has no `{flag}`"));
                }
            }
        }
    }
    assert_none(findings);
}

#[test]
fn the_test_command_of_the_readme_is_the_one_that_ci_runs() {
    let test = "cargo test --release --workspace";
    let mut findings = Vec::new();
    for name in ["README.md", "CONTRIBUTING.md", "justfile", ".ci/run"] {
        let text = std::fs::read_to_string(root().join(name)).unwrap_or_default();
        if !text.lines().any(|line| line.trim().trim_start_matches("step ").starts_with(test)) {
            findings.push(format!("{name}: no line `{test}`"));
        }
    }
    assert_none(findings);
}

#[test]
fn pictures_of_the_documents_are_small() {
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(root().join("docs")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let bytes = path.metadata().unwrap().len();
        if path.extension().is_some_and(|e| e == "jpg" || e == "png") && bytes >= 150_000 {
            findings.push(format!("{}: {bytes} bytes, 150,000 at most", path.display()));
        }
    }
    assert_none(findings);
}
