//! Training as a process: stopped, killed, damaged, resumed.
#![allow(clippy::unwrap_used)]

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fcn_core::train::METRICS_FILE;
use program::{assert_code, stderr};
use segdata::synthetic::{DrawOptions, draw_dataset};

/// Steps of every run here; enough for a few checkpoints and validations.
const STEPS: u64 = 12;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        draw_dataset(&folder.path().join("data"), &DrawOptions { train: 6, val: 2, ..DrawOptions::default() }).unwrap();
        Bench { folder }
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A narrow network on the drawn photographs, a checkpoint every three steps and a validation every four.
    fn command(&self, run: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fcn"));
        command.arg("train").arg("--data").arg(self.folder.path().join("data")).arg("--run").arg(self.run(run));
        command.args(["--width", "0.05", "--crop", "64", "--batch", "2", "--log-every", "1"]);
        command.args(["--save-every", "3", "--validate-every", "4"]).args(more);
        if !more.contains(&"--model") {
            command.args(["--backbone", "vgg16-bn"]);
        }
        if !more.contains(&"--steps") {
            command.arg("--steps").arg(STEPS.to_string());
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn train(&self, run: &str, more: &[&str]) -> Output {
        self.command(run, more).output().unwrap()
    }

    fn weights(&self, run: &str) -> Vec<u8> {
        fs::read(self.run(run).join("last/weights.safetensors")).unwrap()
    }
}

/// Waits until the run has logged `step`.
fn wait_for_step(run: &Path, step: u64, child: &mut Child) {
    let started = Instant::now();
    let wanted = format!("\"step\":{step},");
    while !fs::read_to_string(run.join(METRICS_FILE)).unwrap_or_default().contains(&wanted) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before step {step}");
        assert!(started.elapsed() < Duration::from_secs(120), "no step {step} in two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Steps of the lines of one kind in the metrics file, in order.
fn logged(run: &Path, kind: &str) -> Vec<u64> {
    let text = fs::read_to_string(run.join(METRICS_FILE)).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).map(|line| line["step"].as_u64().unwrap()).collect()
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_run_killed_at_any_step_and_resumed_ends_with_the_same_bits() {
    let bench = Bench::new();
    assert_code(&bench.train("whole", &["--threads", "2"]), 0);
    // Another number of threads, and the process killed without warning at different places.
    for (name, kills, threads) in [("early", vec![1], "1"), ("late", vec![10], "2"), ("often", vec![2, 5, 9], "1")] {
        kill_and_resume(&bench, name, &kills, &["--threads", threads], "whole");
    }
}

#[test]
fn a_u_net_killed_and_resumed_ends_with_the_same_bits() {
    let bench = Bench::new();
    assert_code(&bench.train("whole", &["--threads", "2", "--model", "unet-bn"]), 0);
    kill_and_resume(&bench, "killed", &[2, 7], &["--threads", "1", "--model", "unet-bn"], "whole");
}

/// Kills a run when it has logged each of the steps `kills`, resumes it to the end, and compares it with the run `whole`.
fn kill_and_resume(bench: &Bench, name: &str, kills: &[u64], flags: &[&str], whole: &str) {
    let resume = [flags, &["--resume"]].concat();
    for (index, &step) in kills.iter().enumerate() {
        let mut child = bench.command(name, if index == 0 { flags } else { &resume }).spawn().unwrap();
        wait_for_step(&bench.run(name), step, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_code(&bench.train(name, &resume), 0);
    assert!(bench.weights(name) == bench.weights(whole), "{name}: other weights than the uninterrupted run");
    assert_eq!(logged(&bench.run(name), "step"), (1..=STEPS).collect::<Vec<_>>(), "{name}");
    assert_eq!(logged(&bench.run(name), "validation"), [4, 8, 12], "{name}");
}

#[test]
#[cfg(unix)]
fn a_signal_saves_and_ends_with_its_own_code() {
    let bench = Bench::new();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut child = bench.command(name, &["--steps", "100000"]).spawn().unwrap();
        wait_for_step(&bench.run(name), 2, &mut child);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_code(&output, code);
        let last = *logged(&bench.run(name), "step").last().unwrap();
        let saved = bench.run(name).join(format!("checkpoints/step-{last:08}/MANIFEST.json"));
        assert!(saved.exists(), "{name}: step {last} was done but not saved");
        assert!(stderr(&output).contains("--resume"), "{name}: {}", stderr(&output));
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let bench = Bench::new();
    assert_code(&bench.train("run", &[]), 0);
    let whole = bench.weights("run");
    let newest = bench.run("run").join("checkpoints/step-00000012");
    for file in ["weights.safetensors", "optim.safetensors", "state.json", "MANIFEST.json"] {
        let path = newest.join(file);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let output = bench.train("run", &["--resume"]);
        assert_code(&output, 0);
        assert!(stderr(&output).contains("passed over"), "{file}: {}", stderr(&output));
        assert!(stderr(&output).contains("resuming at step 9"), "{file}: {}", stderr(&output));
        assert!(bench.weights("run") == whole, "{file}: other weights");
    }
}

#[test]
fn a_folder_in_use_or_of_another_run_is_refused() {
    let bench = Bench::new();
    let mut first = bench.command("run", &["--steps", "100000"]).spawn().unwrap();
    wait_for_step(&bench.run("run"), 4, &mut first);
    let second = bench.train("run", &["--resume", "--steps", "100000"]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_code(&second, 5);
    assert!(stderr(&second).contains("another process"), "{}", stderr(&second));

    let again = bench.train("run", &[]);
    assert_code(&again, 2);
    assert!(stderr(&again).contains("--resume"), "{}", stderr(&again));

    let other = bench.train("run", &["--resume", "--lr", "0.5"]);
    assert_code(&other, 2);
    assert!(stderr(&other).contains("lr is 0.5"), "{}", stderr(&other));

    let nothing = bench.train("elsewhere", &["--resume"]);
    assert_code(&nothing, 4);
    assert!(stderr(&nothing).contains("nothing to resume"), "{}", stderr(&nothing));
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_before_the_update() {
    let bench = Bench::new();
    let output = bench.train("run", &["--optimizer", "sgd", "--lr", "1e25"]);
    assert_code(&output, 6);
    assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    for entry in fs::read_dir(bench.run("run").join("checkpoints")).into_iter().flatten().flatten() {
        let weights = fs::read(entry.path().join("weights.safetensors")).unwrap();
        let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
        let finite = weights[header..].chunks_exact(4).all(|b| f32::from_le_bytes(b.try_into().unwrap()).is_finite());
        assert!(finite, "{:?} holds a value that is not finite", entry.path());
    }
}

#[test]
fn accumulated_gradients_equal_those_of_the_big_batch() {
    let bench = Bench::new();
    // Without batch norm, whose statistics are those of each part.
    let plain = ["--backbone", "vgg16", "--optimizer", "sgd", "--lr", "0.01", "--steps", "3"];
    let big = [&plain[..], &["--batch", "4"]].concat();
    let parts = [&plain[..], &["--batch", "2", "--accumulate", "2"]].concat();
    // A flag given twice is an error, so these runs name everything themselves.
    let losses = |name: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fcn"));
        command.arg("train").arg("--data").arg(bench.folder.path().join("data")).arg("--run").arg(bench.run(name));
        let output = command.args(["--width", "0.05", "--crop", "64", "--log-every", "1"]).args(more).output().unwrap();
        assert_code(&output, 0);
        let text = fs::read_to_string(bench.run(name).join(METRICS_FILE)).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "step").map(|line| line["loss"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let (big, parts) = (losses("big", &big), losses("parts", &parts));
    assert_eq!(big.len(), 3);
    for (a, b) in big.iter().zip(&parts) {
        assert!((a - b).abs() < 1e-4 * a.abs(), "{big:?} and {parts:?}");
    }
}
