//! The CRF's own flags, the same in every command that runs it.

use fcn_core::infer::{CrfParams, CrfPreset};
use fcn_core::{Error, Result};

use super::choice::one_of;

/// What the CRF does. Each flag overrides the preset.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "CRF")]
pub struct CrfFlags {
    /// Parameters to start from: paper is (3; 3) + (80, 13; 10), reference (10; 3) + (50, 20; 10) [default: paper]
    #[arg(long, value_parser = one_of::<CrfPreset>())]
    preset: Option<CrfPreset>,
    /// Mean-field iterations, at most 1000; 0 changes nothing [default: 5]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    iterations: Option<usize>,
    /// Standard deviation of the smoothness kernel in pixels [default: 3]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    gaussian_sxy: Option<f32>,
    /// Weight of the smoothness kernel [default: 3]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    gaussian_compat: Option<f32>,
    /// Standard deviation of the appearance kernel in pixels [default: 80]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    bilateral_sxy: Option<f32>,
    /// Standard deviation of the appearance kernel in colour, steps of 0 to 255 [default: 13]
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true)]
    bilateral_srgb: Option<f32>,
    /// Weight of the appearance kernel [default: 10]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    bilateral_compat: Option<f32>,
    /// Faster arithmetic, within 1e-4 of the exact result instead of equal to pydensecrf's
    #[arg(long)]
    fast: bool,
}

impl CrfFlags {
    /// The parameters that the flags ask for.
    ///
    /// # Errors
    /// A value out of range.
    pub fn params(&self) -> Result<CrfParams> {
        let start = CrfParams::from(self.preset.unwrap_or_default());
        let params = CrfParams {
            iterations: self.iterations.unwrap_or(start.iterations),
            gaussian_sxy: self.gaussian_sxy.unwrap_or(start.gaussian_sxy),
            gaussian_compat: self.gaussian_compat.unwrap_or(start.gaussian_compat),
            bilateral_sxy: self.bilateral_sxy.unwrap_or(start.bilateral_sxy),
            bilateral_srgb: self.bilateral_srgb.unwrap_or(start.bilateral_srgb),
            bilateral_compat: self.bilateral_compat.unwrap_or(start.bilateral_compat),
            fast: self.fast,
        };
        params.validate()?;
        Ok(params)
    }

    /// The parameters where the CRF is asked for, none where it is not.
    ///
    /// # Errors
    /// Those of [`params`](Self::params), and a flag of the CRF that would be ignored.
    pub fn params_if(&self, wanted: bool) -> Result<Option<CrfParams>> {
        if wanted {
            return self.params().map(Some);
        }
        let given = [
            ("--preset", self.preset.is_some()),
            ("--iterations", self.iterations.is_some()),
            ("--gaussian-sxy", self.gaussian_sxy.is_some()),
            ("--gaussian-compat", self.gaussian_compat.is_some()),
            ("--bilateral-sxy", self.bilateral_sxy.is_some()),
            ("--bilateral-srgb", self.bilateral_srgb.is_some()),
            ("--bilateral-compat", self.bilateral_compat.is_some()),
            ("--fast", self.fast),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => {
                Err(Error::usage(format!("{flag} is a flag of the CRF, which was not asked for")).hint("add --crf"))
            }
            None => Ok(None),
        }
    }
}

/// The parameters as [`CrfFlags`] reads them, ready to be typed.
pub fn typed(params: &CrfParams) -> String {
    let fast = if params.fast { " --fast" } else { "" };
    format!(
        "--iterations {} --gaussian-sxy {} --gaussian-compat {} --bilateral-sxy {} --bilateral-srgb {} --bilateral-compat {}{fast}",
        params.iterations,
        params.gaussian_sxy,
        params.gaussian_compat,
        params.bilateral_sxy,
        params.bilateral_srgb,
        params.bilateral_compat
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        crf: CrfFlags,
    }

    fn parsed(words: &str) -> CrfFlags {
        Line::try_parse_from(std::iter::once("x").chain(words.split_whitespace())).unwrap().crf
    }

    #[test]
    fn flags_override_the_preset() {
        assert_eq!(parsed("").params().unwrap(), CrfParams::default());
        let reference = CrfParams::from(CrfPreset::Reference);
        let expected = CrfParams { iterations: 10, gaussian_sxy: 2.5, fast: true, ..reference };
        assert_eq!(parsed("--preset reference --iterations 10 --gaussian-sxy 2.5 --fast").params().unwrap(), expected);
        assert_eq!(parsed(&typed(&expected)).params().unwrap(), expected, "what is printed can be typed");
        assert_eq!(
            typed(&reference),
            "--iterations 5 --gaussian-sxy 10 --gaussian-compat 3 --bilateral-sxy 50 --bilateral-srgb 20 --bilateral-compat 10"
        );
        for wrong in ["--gaussian-sxy -1", "--bilateral-srgb nan", "--iterations 1001"] {
            assert_eq!(parsed(wrong).params().unwrap_err().kind, fcn_core::ErrorKind::Usage, "{wrong}");
        }
        assert!(Line::try_parse_from(["x", "--preset", "papr"]).is_err());
    }

    #[test]
    fn the_help_tells_the_defaults_that_are_used() {
        let help = Line::command().render_long_help().to_string();
        let defaults = CrfParams::default();
        let lines = [
            ("--iterations", defaults.iterations as f32),
            ("--gaussian-sxy", defaults.gaussian_sxy),
            ("--gaussian-compat", defaults.gaussian_compat),
            ("--bilateral-sxy", defaults.bilateral_sxy),
            ("--bilateral-srgb", defaults.bilateral_srgb),
            ("--bilateral-compat", defaults.bilateral_compat),
        ];
        for (flag, value) in lines {
            let text = help.split(flag).nth(1).unwrap().split("--").next().unwrap();
            assert!(text.contains(&format!("[default: {value}]")), "{flag}: {text}");
        }
    }

    #[test]
    fn a_flag_that_would_be_ignored_is_refused() {
        assert_eq!(parsed("").params_if(false).unwrap(), None);
        assert_eq!(parsed("").params_if(true).unwrap(), Some(CrfParams::default()));
        for words in ["--fast", "--preset paper", "--bilateral-compat 3"] {
            let error = parsed(words).params_if(false).unwrap_err();
            assert_eq!(error.hint.as_deref(), Some("add --crf"), "{words}");
        }
    }
}
