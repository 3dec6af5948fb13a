//! How a network computes, in every subcommand that takes one as it is.

use std::path::Path;

use fcn_core::infer::Predictor;
use fcn_core::network::{Algorithm, Precision, WeightForm};
use fcn_core::weights::weights_file;
use fcn_core::{Error, Result, device, weights};

use super::choice::one_of;
use super::global::Global;

/// How a network computes, for commands that take one as it is.
#[derive(clap::Args)]
pub struct Inference {
    /// Convolutions on the CPU; the faster, the more they round
    #[arg(long, value_name = "HOW", default_value = "fast", value_parser = one_of::<Algorithm>())]
    pub conv: Algorithm,
    /// What products of convolutions on the CPU are rounded to; bf16 is faster where the processor has
    /// AVX512-BF16, and about one pixel in a hundred may change its class
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = one_of::<Precision>())]
    pub dtype: Precision,
    /// Transform weights for the fast kernels in every pass instead of once: slower, and a fifth less memory
    #[arg(long)]
    pub no_weight_cache: bool,
}

impl Inference {
    /// In which form weights wait for the next pass.
    ///
    /// # Errors
    /// bf16 where there is no such form.
    pub fn weights(&self, on_cpu: bool) -> Result<WeightForm> {
        let form = match (self.dtype, self.no_weight_cache) {
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
        let device = device::parse(&global.device)?;
        let form = self.weights(device::is_cpu(&device))?;
        let mut fcn = weights::load_mapped(&weights_file(weights)?, &device)?;
        fcn.options.algorithm = self.conv;
        Ok(Predictor::with_weights(fcn, form))
    }
}
