//! `fcn completions SHELL` and `fcn man DIR`: what a shell and its manual know of the program, written from the definition
//! of the command line.

use std::path::PathBuf;

use fcn_core::{Error, Result};

use crate::report;

/// Print tab completions for a shell.
///
/// Example: fcn completions bash > ~/.local/share/bash-completion/completions/fcn
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The shell to write completions for
    shell: clap_complete::Shell,
}

pub fn run(args: Args, program: &mut clap::Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, program, "fcn", &mut script);
    report::print_bytes(&script);
    Ok(())
}

/// Write the manual pages: fcn.1, and one page for each subcommand.
///
/// Pages that are there already are replaced.
///
/// Example: fcn man ~/.local/share/man/man1
#[derive(clap::Args)]
#[command(verbatim_doc_comment, hide = true)]
pub struct ManArgs {
    /// Folder for the pages, made where it is missing
    #[arg(value_name = "DIR")]
    out: PathBuf,
}

pub fn write_manual(args: ManArgs, program: clap::Command) -> Result<()> {
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io("make the folder", &args.out, &e))?;
    clap_mangen::generate_to(program, &args.out).map_err(|e| Error::io("write a manual page", &args.out, &e))?;
    report::print_line(&format!("manual pages are in {}", args.out.display()));
    Ok(())
}
