//! What the documents say must be true: paths they name exist, commands they show parse, and the test command of the
//! README is the one that `.ci/run` runs. The tutorial is followed from its first command to its last.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use segdata::synthetic::draw_scene;

/// Documents whose every path and command is checked.
const DOCUMENTS: [&str; 18] = [
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
    "docs/introduction.md",
    "docs/numerics.md",
    "docs/performance.md",
    "docs/release.md",
    "docs/reproduce.md",
    "docs/tutorial.md",
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

/// The folders of the tutorial with less in them: photographs with an outline each, as labelme writes it, and new ones.
fn draw_kitchen(folder: &Path) {
    for (name, images) in [("kitchen", 0..10), ("new", 10..12)] {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        for index in images {
            let (photograph, _) = draw_scene(0, index);
            std::fs::write(folder.join(format!("IMG_{index:04}.jpg")), photograph.to_jpeg(90).unwrap()).unwrap();
            if name == "kitchen" {
                let shape = serde_json::json!({
                    "label": if index % 2 == 0 { "cup" } else { "plate" },
                    "points": [[20, 20], [100, 30], [60, 120]],
                    "shape_type": "polygon",
                });
                let file = serde_json::json!({
                    "imagePath": format!("IMG_{index:04}.jpg"),
                    "imageWidth": photograph.width,
                    "imageHeight": photograph.height,
                    "shapes": [shape],
                });
                std::fs::write(folder.join(format!("IMG_{index:04}.json")), file.to_string()).unwrap();
            }
        }
    }
}

#[test]
fn the_tutorial_can_be_followed() {
    // A training of two steps is enough to see that it runs.
    const SHORTER: [(&str, &str); 2] = [("--steps 600", "--steps 2 --crop 64"), ("--batch 8", "--batch 2")];
    // Needs a file of 550 MB.
    const LEFT_OUT: &str = "--init imagenet";

    let text = std::fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    draw_kitchen(dir.path());
    let mut run = Vec::new();
    for (line, words) in shown_commands(&text) {
        let shown = words.join(" ");
        if shown.contains(LEFT_OUT) {
            continue;
        }
        let shorter = SHORTER.iter().fold(shown, |text, (long, short)| text.replace(long, short));
        let mut program = Command::new(env!("CARGO_BIN_EXE_fcn"));
        let out = program.args(shorter.split(' ')).current_dir(dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "docs/tutorial.md:{line}: `fcn {shorter}` ends with {}: {said}", out.status);
        run.push(words[0].clone());
    }
    assert_eq!(run, ["check", "train", "eval", "predict", "predict", "export"]);
    for made in ["runs/kitchen/report.html", "masks/IMG_0010.png", "drafts/IMG_0011.json", "kitchen.onnx"] {
        assert!(dir.path().join(made).exists(), "the tutorial promises {made}");
    }
}

#[test]
fn the_book_has_every_page_once() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let times = summary.matches(&format!("({name})")).count();
        if name.ends_with(".md") && name != "SUMMARY.md" && times != 1 {
            findings.push(format!("docs/SUMMARY.md names {name} {times} times, expected once"));
        }
        if name.ends_with(".md") && name != "SUMMARY.md" && !DOCUMENTS.contains(&format!("docs/{name}").as_str()) {
            findings.push(format!("no test reads docs/{name}: add it to DOCUMENTS"));
        }
    }
    assert_none(findings);
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
