//! How a network computes, in every subcommand that takes one as it is.

use std::path::Path;

use fcn_core::infer::Predictor;
use fcn_core::network::{Algorithm, Precision, WeightForm};
use fcn_core::weights::weights_file;
use fcn_core::{Error, Result, device, weights};

use super::choice::choice;
use super::global::Global;

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
    pub fn predictor(&self, weights: &Path, global: &Global) -> Result<Predictor> {
        let (algorithm, device) = (self.algorithm()?, device::parse(&global.device)?);
        let form = self.weights(device::is_cpu(&device))?;
        let mut fcn = weights::load_mapped(&weights_file(weights)?, &device)?;
        fcn.options.algorithm = algorithm;
        Ok(Predictor::with_weights(fcn, form))
    }
}
