//! The command line: one file for each subcommand, with its flags and one call into the libraries.
//!
//! A subcommand turns its flags into the options of a library function, calls it, and prints what comes back as a table
//! or, with `--json`, as one document. It computes nothing itself. A subcommand with parts of its own is a folder. Flags
//! that several subcommands have are in [`crate::flags`].
//!
//! This page lists the subcommands, reads the command line and runs the one that was asked for. `quickstart` uses `train`
//! and `eval`; no other subcommand uses another.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use fcn_core::{Error, Result};

use crate::exit_code::exit_code;
use crate::flags::global::Global;
use crate::report;
use crate::wording::Wording;

mod bench;
mod check;
mod completions;
mod convert;
mod crf;
mod eval;
mod export;
mod import;
mod info;
mod predict;
mod quickstart;
mod train;

/// Semantic segmentation in one binary: photographs and masks in, a trained and evaluated FCN out.
#[derive(Parser)]
#[command(name = "fcn", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Quickstart(quickstart::Args),
    Check(check::Args),
    Convert(convert::Args),
    Train(Box<train::Args>),
    Eval(Box<eval::Args>),
    Predict(Box<predict::Args>),
    Crf(Box<crf::Args>),
    Export(export::Args),
    Import(import::Args),
    Info(info::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Man(completions::ManArgs),
}

impl Command {
    /// Whether it repeats training steps, which allocate the same large tensors again and again.
    pub fn trains(&self) -> bool {
        match self {
            Command::Train(_) | Command::Quickstart(_) => true,
            Command::Bench(args) => args.trains(),
            _ => false,
        }
    }
}

/// The command line, read. Help, the version, and mistakes are printed and end the process; a mistake with `--json` is
/// one object like any other error.
pub fn parse() -> Cli {
    read().unwrap_or_else(|mistake| {
        if !mistake.use_stderr() || !std::env::args_os().any(|word| word == "--json") {
            mistake.exit();
        }
        let text = mistake.to_string();
        let after = |word: &str| text.lines().find_map(|line| line.trim().strip_prefix(word));
        // The first paragraph: a list of missing arguments follows its sentence line by line.
        let cause: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let cause = cause.join(" ");
        let mut error = Error::usage(cause.strip_prefix("error: ").unwrap_or(&cause));
        if let Some(tip) = after("tip: ") {
            error = error.hint(tip);
        }
        report::print_error(&error, true);
        std::process::exit(exit_code(error.kind))
    })
}

fn read() -> std::result::Result<Cli, clap::Error> {
    let mut matches = Cli::command().try_get_matches()?;
    let running = matches.subcommand_name().unwrap_or_default().to_string();
    let mut cli = Cli::from_arg_matches_mut(&mut matches).map_err(|mistake| mistake.format(&mut Cli::command()))?;
    cli.global.wording = Wording::of(Cli::command(), &running);
    Ok(cli)
}

/// Sets up what all commands share, then runs one.
pub fn run(command: Command, global: &Global) -> Result<()> {
    if let Some(threads) = global.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global()
            .map_err(|e| Error::internal(format!("cannot start {threads} worker threads: {e}")))?;
    }
    match command {
        Command::Quickstart(args) => quickstart::run(args, global),
        Command::Check(args) => check::run(args, global),
        Command::Convert(args) => convert::run(args, global),
        Command::Train(args) => train::run(*args, global),
        Command::Eval(args) => eval::run(*args, global),
        Command::Predict(args) => predict::run(*args, global),
        Command::Crf(args) => crf::run(*args, global),
        Command::Export(args) => export::run(args, global),
        Command::Import(args) => import::run(args, global),
        Command::Info(args) => info::run(args, global),
        Command::Bench(args) => bench::run(args, global),
        Command::Completions(args) => completions::run(args, &mut Cli::command()),
        Command::Man(args) => completions::write_manual(args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_and_every_subcommand_is_known_while_any_runs() {
        let mut program = Cli::command();
        program.build();
        let mut findings = Vec::new();
        for running in program.get_subcommands() {
            let words = Wording::of(Cli::command(), running.get_name());
            let flags: Vec<&str> = running.get_arguments().filter_map(|flag| flag.get_long()).collect();
            for name in &flags {
                for written in [name.to_string(), name.replace('-', "_")] {
                    let put = words.put(&format!("change `{written}`, then"));
                    if put != format!("change --{name}, then") {
                        findings.push(format!("{}: {written}: {put}", running.get_name()));
                    }
                }
            }
            for command in program.get_subcommands().map(|command| command.get_name()) {
                let put = words.put(&format!("run `{command}`"));
                // `crf` is an option of two subcommands and a subcommand of its own.
                let expected = match flags.contains(&command) {
                    true => format!("run --{command}"),
                    false => format!("run `fcn {command}`"),
                };
                if put != expected {
                    findings.push(format!("{}: {command}: {put}", running.get_name()));
                }
            }
        }
        assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
    }
}
