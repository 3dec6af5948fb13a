//! Flags of every subcommand.

use crate::wording::Wording;

/// Flags of every subcommand.
#[derive(clap::Args, Clone, Debug)]
pub struct Global {
    /// Print one JSON document on stdout; progress and logs go to stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Say less: no progress, warnings only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Worker threads [default: one a core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Where to compute: cpu, cuda[:i], vulkan, metal or webgpu; all but cpu must be compiled in
    #[arg(long, global = true, default_value = "cpu")]
    pub device: String,
    /// Puts what the libraries say into the words of the subcommand that runs.
    #[arg(skip)]
    pub wording: Wording,
}
