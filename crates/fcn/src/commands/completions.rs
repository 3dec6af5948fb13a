//! `fcn completions SHELL`: tab completion for a shell.

use fcn_core::Result;

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
