//! The real binary from outside: help, misspelt words, exit codes, and errors that a script can read.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

fn fcn(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fcn")).args(args).output().unwrap()
}

fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// The subcommands that `fcn --help` lists.
fn subcommands() -> Vec<String> {
    let help = stdout(&fcn(&["--help"]));
    let list = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names: Vec<String> = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_string)
        .collect();
    assert!(names.len() >= 9, "{names:?}");
    names
}

/// Each flag of a help text: its line and the text below it.
fn flags(help: &str) -> Vec<(String, String)> {
    let mut flags: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with('-') && line.len() - trimmed.len() <= 6 {
            flags.push((trimmed.to_string(), String::new()));
        } else if let Some((_, text)) = flags.last_mut() {
            text.push_str(trimmed);
            text.push(' ');
        }
    }
    flags
}

#[test]
fn every_help_has_an_example_of_its_own_command() {
    let mut findings = Vec::new();
    for name in subcommands() {
        let help = stdout(&fcn(&[&name, "--help"]));
        if !help.contains("Example") || !help.contains(&format!("fcn {name}")) {
            findings.push(format!("fcn {name} --help: no example"));
        }
    }
    assert_none(findings);
}

#[test]
fn every_flag_that_takes_a_number_or_a_word_says_its_default() {
    // Paths have no default, and neither has a flag that only narrows something down.
    const PATHS: [&str; 7] = ["<FILE", "<DIR", "<DATA", "<WEIGHTS", "<PATH", "<MASK", "<OUT"];
    let mut findings = Vec::new();
    for name in subcommands() {
        for (flag, text) in flags(&stdout(&fcn(&[&name, "--help"]))) {
            let takes_a_path = PATHS.iter().any(|path| flag.contains(path));
            if flag.contains('<') && !takes_a_path && !text.contains("[default") {
                findings.push(format!("fcn {name} --help: `{flag}` does not say its default"));
            }
        }
    }
    assert_none(findings);
}

#[test]
fn every_subcommand_has_a_manual_page_with_its_flags() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("share/man1");
    let out = fcn(&["man", pages.to_str().unwrap()]);
    assert!(out.status.success(), "{}", stderr(&out));
    let mut findings = Vec::new();
    for name in subcommands() {
        let page = std::fs::read_to_string(pages.join(format!("fcn-{name}.1"))).unwrap_or_default().replace("\\-", "-");
        for (flag, _) in flags(&stdout(&fcn(&[&name, "--help"]))) {
            let long = flag.split([' ', ',']).find(|word| word.starts_with("--")).unwrap();
            if !page.contains(long) {
                findings.push(format!("fcn-{name}.1: no {long}"));
            }
        }
    }
    if !std::fs::read_to_string(pages.join("fcn.1")).unwrap_or_default().contains("SUBCOMMANDS") {
        findings.push("fcn.1: no list of subcommands".to_string());
    }
    assert_none(findings);
}

#[test]
fn completions_know_the_words_of_flags_and_help_says_them() {
    let cases = [
        ("crf", "--preset", "paper reference"),
        ("check", "--layout", "records voc cityscapes"),
        ("predict", "--conv", "direct accurate fast"),
        ("predict", "--dtype", "f32 bf16"),
        ("import", "--input-convention", "torchvision caffe caffe-vgg"),
        ("export", "--to", "onnx torchvision pytorch-fcn"),
        ("bench", "--backbone", "vgg16 vgg16-bn"),
    ];
    let script = stdout(&fcn(&["completions", "bash"]));
    let mut findings = Vec::new();
    for (name, flag, words) in cases {
        let own = script.split(&format!("fcn__subcmd__{name})")).last().unwrap();
        let offered = own.split(&format!("{flag})")).nth(1).unwrap_or_default().lines().nth(1).unwrap_or_default();
        if !offered.contains(words) {
            findings.push(format!("fcn {name} {flag}: completions offer {offered:?}, expected {words:?}"));
        }
        let help = flags(&stdout(&fcn(&[name, "--help"])));
        let (_, text) = help.iter().find(|(line, _)| line.starts_with(flag)).unwrap();
        if !words.split(' ').all(|word| text.contains(word)) {
            findings.push(format!("fcn {name} --help: {flag} does not say {words:?}: {text}"));
        }
    }
    assert_none(findings);
}

#[test]
fn a_misspelt_word_is_refused_with_the_nearest_one() {
    let cases: [(&[&str], &str); 6] = [
        (&["chekc"], "check"),
        (&["train", "--stpes", "3"], "--steps"),
        (&["convert", "x", "--shrads", "3"], "--shards"),
        (&["check", "x", "--layout", "cityscape"], "cityscapes"),
        (&["predict", "x.jpg", "--weights", "w", "--out", "o", "--conv", "fats"], "fast"),
        (&["export", "--weights", "w", "--out", "o", "--to", "pytorch-fnc"], "pytorch-fcn"),
    ];
    let mut findings = Vec::new();
    for (args, nearest) in cases {
        let out = fcn(args);
        if out.status.code() != Some(2) || !stderr(&out).contains(nearest) {
            findings.push(format!("{args:?}: exit {:?}, expected 2 and `{nearest}`: {}", out.status, stderr(&out)));
        }
    }
    assert_none(findings);
}

/// Faults with the exit code that the documentation gives them.
fn faults(dir: &Path) -> Vec<(Vec<String>, i32)> {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    std::fs::write(path("garbage.safetensors"), b"no weights at all, only words").unwrap();
    std::fs::write(path("typo.toml"), "epochz = 3\n").unwrap();
    std::fs::create_dir_all(path("empty")).unwrap();
    let words = |text: &str| text.split(' ').map(|word| word.replace("DIR", &dir.to_string_lossy())).collect();
    vec![
        (words("train --steps none --data DIR --run DIR/run"), 2),
        (words("train --data DIR/empty --run DIR/run --config DIR/typo.toml"), 2),
        (words("train --data DIR/empty --run DIR/run --variant 9s"), 2),
        (words("check DIR/empty"), 3),
        (words("eval --weights DIR/garbage.safetensors --data DIR/empty"), 4),
        (words("train --data DIR/missing --run DIR/run"), 5),
        (words("quickstart --out DIR"), 2),
    ]
}

#[test]
fn every_fault_has_its_exit_code_and_one_json_object_on_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let mut findings = Vec::new();
    for (mut args, code) in faults(dir.path()) {
        args.push("--json".to_string());
        let out = fcn(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let text = stderr(&out);
        let last = text.lines().last().unwrap_or_default();
        let error: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
        let keys = ["code", "kind", "message", "path", "hint"];
        if out.status.code() != Some(code) {
            findings.push(format!("{args:?}: exit {:?}, expected {code}: {text}", out.status.code()));
        }
        if keys.iter().any(|key| error.get(key).is_none()) || error["code"] != code || !out.stdout.is_empty() {
            findings.push(format!("{args:?}: expected one object with {keys:?} on stderr, found: {text}"));
        }
    }
    assert_none(findings);
}

#[test]
fn faults_are_told_to_people_in_one_line_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let mut findings = Vec::new();
    for (args, _) in faults(dir.path()) {
        let text = stderr(&fcn(&args.iter().map(String::as_str).collect::<Vec<_>>()));
        if !text.starts_with("error: ") || text.contains("panicked") {
            findings.push(format!("{args:?}: {text}"));
        }
    }
    assert_none(findings);
}
