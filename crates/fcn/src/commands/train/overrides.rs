//! Flags of `fcn train` that stand for keys of its configuration.

use fcn_core::train::TrainConfig;
use fcn_core::{Error, Result};

use crate::flags::choice::choice;
use crate::flags::mask_values::MaskValuesFlag;

/// Flags that override keys of the configuration. Their defaults are the configuration's.
#[derive(clap::Args)]
pub struct Overrides {
    /// 8s, 16s or 32s [default: 8s]
    #[arg(long)]
    variant: Option<String>,
    /// Variants to train one after the other, each from the one before, as 32s,16s,8s [default: none]
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "variant")]
    stages: Option<Vec<String>>,
    /// vgg16 or vgg16-bn [default: vgg16]
    #[arg(long)]
    backbone: Option<String>,
    /// Multiplier on the channel counts [default: 1.0]
    #[arg(long)]
    width: Option<f32>,
    /// fcn, or unet or unet-bn, to which variant, backbone and geometry do not belong [default: fcn]
    #[arg(long)]
    model: Option<String>,
    /// same or caffe [default: same]
    #[arg(long)]
    geometry: Option<String>,
    /// Convolutions on the CPU: direct, accurate or fast; the faster, the more they round [default: fast]
    #[arg(long, value_name = "HOW")]
    conv: Option<String>,
    /// Updates in all, those before a resume included [default: 1500]
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Passes over the training split in all, in place of --steps [default: as many as the steps are]
    #[arg(long, value_name = "N", conflicts_with = "steps")]
    epochs: Option<f64>,
    /// Images a batch [default: 16]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Batches whose gradients are added up before an update [default: 1]
    #[arg(long, value_name = "N")]
    accumulate: Option<usize>,
    /// Side of the square training crop in pixels [default: 224]
    #[arg(long, value_name = "N")]
    crop: Option<usize>,
    /// Smallest factor by which photographs are scaled at random [default: 0.5]
    #[arg(long, value_name = "X")]
    scale_min: Option<f32>,
    /// Largest factor by which photographs are scaled at random [default: 1.5]
    #[arg(long, value_name = "X")]
    scale_max: Option<f32>,
    /// Mirror no photographs: where left and right are classes
    #[arg(long)]
    no_flip: bool,
    /// Share of the values that dropout sets to zero [default: 0.5]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    dropout: Option<f32>,
    /// adam, adamw or sgd [default: adam]
    #[arg(long)]
    optimizer: Option<String>,
    /// Learning rate [default: 1e-4]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Weight decay of weights, not of biases and batch norms [default: 0]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f32>,
    /// Momentum of sgd [default: 0.9]
    #[arg(long, value_name = "X")]
    momentum: Option<f32>,
    /// constant or poly [default: constant]
    #[arg(long)]
    schedule: Option<String>,
    /// Steps over which the rate grows from nothing [default: 0]
    #[arg(long, value_name = "N")]
    warmup_steps: Option<u64>,
    /// Gradients longer than this are shortened to it; 0 leaves them alone [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    clip_norm: Option<f64>,
    /// mean over valid pixels, or sum as in the paper [default: mean]
    #[arg(long)]
    loss: Option<String>,
    /// Seed of all randomness [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Steps between log lines [default: 10]
    #[arg(long, value_name = "N")]
    log_every: Option<u64>,
    /// Steps between checkpoints [default: 100]
    #[arg(long, value_name = "N")]
    save_every: Option<u64>,
    /// Steps between validations [default: 200]
    #[arg(long, value_name = "N")]
    validate_every: Option<u64>,
    /// Checkpoints kept besides the best: a number of them, or what they may take, such as 20GiB [default: 5]
    #[arg(long, value_name = "N|BYTES", value_parser = keep)]
    keep: Option<Keep>,
    /// Splits to train and to validate on [default: train,val]
    #[arg(long, value_name = "TRAIN,VAL", value_delimiter = ',', num_args = 1)]
    splits: Option<Vec<String>>,
    /// Validation images, spread evenly over the split [default: all]
    #[arg(long, value_name = "N")]
    max_val: Option<usize>,
    /// Leave the CRF out of the validation pictures
    #[arg(long)]
    no_crf: bool,
    /// Any key of the configuration, after all other flags; may be given several times [default: none]
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<String>,
    #[command(flatten)]
    mask_values: MaskValuesFlag,
}

impl Overrides {
    /// Puts what was given into the configuration.
    ///
    /// # Errors
    /// The first value that cannot work.
    pub fn apply(&self, config: &mut TrainConfig) -> Result<()> {
        self.apply_choices(config)?;
        self.apply_values(config);
        match self.keep {
            Some(Keep::Number(keep)) => (config.keep, config.keep_bytes) = (keep, 0),
            Some(Keep::Bytes(bytes)) => (config.keep, config.keep_bytes) = (MOST_KEPT, bytes),
            None => {}
        }
        if let Some(splits) = &self.splits {
            config.splits = splits.clone().try_into().map_err(|_| {
                Error::usage(format!("--splits names {} splits", splits.len())).hint("expected two, such as train,val")
            })?;
        }
        for assignment in &self.assignments {
            config.set(assignment)?;
        }
        config.validate()
    }

    /// The flags that take one of several words.
    fn apply_choices(&self, config: &mut TrainConfig) -> Result<()> {
        fn set<T: serde::de::DeserializeOwned>(target: &mut T, flag: &str, value: &Option<String>) -> Result<()> {
            if let Some(value) = value {
                *target = choice(flag, value)?;
            }
            Ok(())
        }
        set(&mut config.model, "--model", &self.model)?;
        set(&mut config.variant, "--variant", &self.variant)?;
        if let Some(stages) = &self.stages {
            config.stages = stages.iter().map(|word| choice("--stages", word.trim())).collect::<Result<_>>()?;
        } else if self.variant.is_some() {
            config.stages = Vec::new();
        }
        set(&mut config.backbone, "--backbone", &self.backbone)?;
        set(&mut config.geometry, "--geometry", &self.geometry)?;
        set(&mut config.conv, "--conv", &self.conv)?;
        set(&mut config.optimizer, "--optimizer", &self.optimizer)?;
        set(&mut config.schedule, "--schedule", &self.schedule)?;
        set(&mut config.loss, "--loss", &self.loss)
    }

    /// The flags that take a value, or none.
    fn apply_values(&self, config: &mut TrainConfig) {
        fn set<T: Copy>(target: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *target = value;
            }
        }
        set(&mut config.width, self.width);
        set(&mut config.steps, self.steps);
        // A number of steps takes the place of epochs that a file asks for.
        set(&mut config.epochs, self.epochs.or(self.steps.map(|_| 0.0)));
        set(&mut config.batch, self.batch);
        set(&mut config.accumulate, self.accumulate);
        set(&mut config.crop, self.crop);
        set(&mut config.scale_min, self.scale_min);
        set(&mut config.scale_max, self.scale_max);
        config.flip &= !self.no_flip;
        set(&mut config.dropout, self.dropout);
        set(&mut config.lr, self.lr);
        set(&mut config.weight_decay, self.weight_decay);
        set(&mut config.momentum, self.momentum);
        set(&mut config.warmup_steps, self.warmup_steps);
        set(&mut config.clip_norm, self.clip_norm);
        set(&mut config.mask_values, self.mask_values.given());
        set(&mut config.seed, self.seed);
        set(&mut config.log_every, self.log_every);
        set(&mut config.save_every, self.save_every);
        set(&mut config.validate_every, self.validate_every);
        set(&mut config.max_val, self.max_val);
        config.crf &= !self.no_crf;
    }
}

/// What `--keep` says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Keep {
    Number(usize),
    Bytes(u64),
}

/// Checkpoints kept where only their bytes are limited: more than any run has.
const MOST_KEPT: usize = 1_000_000;

/// `5`, or `20GiB`, `500 MB`.
fn keep(text: &str) -> std::result::Result<Keep, String> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    if let Ok(number) = text.trim().parse() {
        return Ok(Keep::Number(number));
    }
    let sized = UNITS.iter().find_map(|(unit, bytes)| {
        let end = text.len().checked_sub(unit.len()).filter(|&end| text.is_char_boundary(end))?;
        let number = text[end..].eq_ignore_ascii_case(unit).then(|| text[..end].trim().parse::<f64>().ok())??;
        (number.is_finite() && number > 0.0).then_some(Keep::Bytes((number * *bytes as f64) as u64))
    });
    sized.ok_or_else(|| "expected a number of checkpoints, or bytes with a unit such as 20GiB or 500MB".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_counted_or_measured() {
        let cases = [
            ("5", Some(Keep::Number(5))),
            ("20GiB", Some(Keep::Bytes(20 << 30))),
            ("1.5 gb", Some(Keep::Bytes(1_500_000_000))),
            ("100B", Some(Keep::Bytes(100))),
            ("-1GB", None),
            ("GB", None),
            ("many", None),
            ("5ä", None),
        ];
        for (text, expected) in cases {
            assert_eq!(keep(text).ok(), expected, "{text}");
        }
    }
}
