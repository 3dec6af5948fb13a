//! The real binary, for the tests of all commands.
//!
//! Each function runs the program in a folder of its own choice and returns what it printed; nothing here knows what a
//! command should say.

// Every test program takes what it needs.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `fcn` with these words in a folder.
pub fn fcn(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fcn")).args(words.split_whitespace()).current_dir(folder).output().unwrap()
}

/// What it prints with `--json`, if it ends with this code.
pub fn json(folder: &Path, words: &str, exit: i32) -> Value {
    let output = fcn(folder, &format!("{words} --json"));
    assert_code(&output, exit);
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
}
