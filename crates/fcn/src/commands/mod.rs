//! One file a subcommand: its flags and one call into the core. Here: the flags that all share, and the dispatch.

use clap::{Parser, Subcommand};
use fcn_core::infer::predictor::Predictor;
use fcn_core::network::{Algorithm, Precision, WeightForm};
use fcn_core::train::checkpoint;
use fcn_core::{Error, Result, device, weights};

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
}

/// How a network computes, for commands that take one as it is.
#[derive(clap::Args)]
pub struct Inference {
    /// Convolutions on the CPU: direct, accurate or fast; the faster, the more they round
    #[arg(long, value_name = "HOW", default_value = "fast")]
    pub conv: String,
    /// What products of convolutions on the CPU are rounded to: f32 or bf16; bf16 is faster where the processor has
    /// AVX512-BF16, and about one pixel in a hundred may change its class
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub dtype: String,
    /// Transform weights for the fast kernels in every pass instead of once: slower, and a fifth less memory
    #[arg(long)]
    pub no_weight_cache: bool,
}

impl Inference {
    /// The algorithm that `--conv` names.
    ///
    /// # Errors
    /// An unknown word.
    pub fn algorithm(&self) -> Result<Algorithm> {
        choice("--conv", &self.conv)
    }

    /// In which form weights wait for the next pass.
    ///
    /// # Errors
    /// An unknown word, or bf16 where there is no such form.
    pub fn weights(&self, on_cpu: bool) -> Result<WeightForm> {
        let form = match (choice("--dtype", &self.dtype)?, self.no_weight_cache) {
            (Precision::F32, false) => WeightForm::Transformed,
            (Precision::F32, true) => WeightForm::AsStored,
            (Precision::Bf16, false) => WeightForm::TransformedBf16,
            (Precision::Bf16, true) => {
                return Err(Error::usage("--dtype bf16 rounds weights once, --no-weight-cache keeps none")
                    .hint("leave one of them out"));
            }
        };
        if form == WeightForm::TransformedBf16 && !on_cpu {
            return Err(Error::usage("--dtype bf16 is a choice of kernels on the CPU").hint("add --device cpu"));
        }
        Ok(form)
    }

    /// A predictor with the weights in a file, checkpoint or run folder.
    ///
    /// # Errors
    /// Those of [`weights`](Self::weights), an unknown device, weights that cannot be used.
    pub fn predictor(&self, weights: &std::path::Path, global: &Global) -> Result<Predictor> {
        let (algorithm, device) = (self.algorithm()?, device::parse(&global.device)?);
        let form = self.weights(device::is_cpu(&device))?;
        let mut fcn = weights::load_mapped(&checkpoint::weights_file(weights)?, &device)?;
        fcn.options.algorithm = algorithm;
        Ok(Predictor::with_weights(fcn, form))
    }
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
    Cli::try_parse().unwrap_or_else(|mistake| {
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
        crate::report::print_error(&error, true);
        std::process::exit(error.kind.exit_code())
    })
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
        Command::Completions(args) => completions::run(args),
    }
}

/// The value of a flag whose words are those of the configuration file.
///
/// # Errors
/// An unknown word; the hint is the nearest known one.
pub fn choice<T: serde::de::DeserializeOwned>(flag: &str, word: &str) -> Result<T> {
    use serde::de::IntoDeserializer;
    let read: std::result::Result<T, serde::de::value::Error> = T::deserialize(word.into_deserializer());
    read.map_err(|e| Error::usage(format!("{flag} {word}: {e}")))
}
