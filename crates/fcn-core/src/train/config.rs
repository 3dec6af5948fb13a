//! The configuration of a training run: a plain struct, a reason for every default. The reference system of some of them is
//! the TensorFlow 1 pipeline (PASCAL VOC, FCN-8s, Adam) that this program succeeds.
//!
//! A TOML file sets any of the keys, flags override the file, and the effective values are saved in the run folder.
//! An unknown key is an error that names the nearest one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::infer::crf::CrfParams;
use crate::loss::Reduction;
use crate::network::{
    Algorithm, Architecture, Backbone, FcnSpec, Geometry, NetworkOptions, TrunkShape, UnetSpec, Variant,
};
use crate::train::optim::{OptimizerKind, OptimizerOptions};
use crate::train::schedule::{Schedule, ScheduleKind};
use crate::{Error, Result};
use segdata::dataset::OpenOptions;
use segdata::image::preprocessing::Preprocessing;
use segdata::labels::MaskValues;

/// A family of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// Fully convolutional networks on VGG-16 (Long, Shelhamer & Darrell 2015).
    #[serde(rename = "fcn")]
    Fcn,
    /// U-Net (Ronneberger, Fischer & Brox 2015).
    #[serde(rename = "unet")]
    Unet,
    /// U-Net with a batch normalisation after each 3 x 3 convolution.
    #[serde(rename = "unet-bn")]
    UnetBn,
}

/// Everything that decides what a run computes, apart from the data and the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// fcn: the family of networks; `variant`, `backbone` and `geometry` belong to it. unet and unet-bn have their own.
    pub model: Model,
    /// 8s: the paper's most accurate variant.
    pub variant: Variant,
    /// vgg16: the network that pretrained weights exist for. From random weights vgg16-bn learns faster.
    pub backbone: Backbone,
    /// 1.0: the paper's channel counts; 0.25 trains well on a few hundred images and a laptop.
    pub width: f32,
    /// same: needs no padding by 100, so a small image costs what its size says.
    pub geometry: Geometry,
    /// 0.5: the paper's, behind fc6 and fc7.
    pub dropout: f32,
    /// false: the paper finds no gain in learning the last upsampling.
    pub trainable_upsampling: bool,
    /// fast: on the CPU, convolutions with the fewest multiplications; `accurate` and `direct` round less and take longer.
    pub conv: Algorithm,

    /// 1500: the reference system's run.
    pub steps: u64,
    /// 0: passes over the training split, which say the number of steps where this is not 0.
    pub epochs: f64,
    /// 16: the reference system's.
    pub batch: usize,
    /// 1: gradients of this many batches are added up before an update, which then equals that of one big batch.
    pub accumulate: usize,
    /// 224: side of the square training crop in pixels.
    pub crop: usize,
    /// 0.5: objects at half their size still teach; the lower bound of the random scale.
    pub scale_min: f32,
    /// 1.5: the upper bound of the random scale.
    pub scale_max: f32,
    /// true: mirrored photographs are photographs. Turn off where left and right are classes.
    pub flip: bool,

    /// adam: needs the least tuning.
    pub optimizer: OptimizerKind,
    /// 1e-4: the reference system's, for Adam and the mean loss.
    pub lr: f64,
    /// 0: Adam's L2 term acts unevenly; 1e-2 suits adamw, 5e-4 sgd (the paper's).
    pub weight_decay: f32,
    /// 0.9: SGD's momentum; the paper's heavy recipe uses 0.99.
    pub momentum: f32,
    /// 0.9: Kingma & Ba's.
    pub beta1: f32,
    /// 0.999: Kingma & Ba's.
    pub beta2: f32,
    /// 1e-8: Kingma & Ba's.
    pub epsilon: f32,
    /// 1: the published Caffe models learn biases at twice the rate (2).
    pub bias_rate: f32,
    /// constant: the reference system's; poly usually ends better.
    pub schedule: ScheduleKind,
    /// 0.9: DeepLab's exponent of the poly schedule.
    pub poly_power: f64,
    /// 0: steps over which the rate grows from nothing; 50 helps batch norm from random weights.
    pub warmup_steps: u64,
    /// 0: gradients longer than this are shortened to it; 0 leaves them alone.
    pub clip_norm: f64,
    /// mean: a rate then means the same for every crop size. `sum` takes the paper's rates as published.
    pub loss: Reduction,

    /// stored: the index counts in palette masks; `colour` or `index` where the masks of the data set contradict it.
    pub mask_values: MaskValues,
    /// 0: the only source of randomness.
    pub seed: u64,
    /// 10: steps between log lines.
    pub log_every: u64,
    /// 100: steps between checkpoints.
    pub save_every: u64,
    /// 200: steps between validations.
    pub validate_every: u64,
    /// 5: checkpoints kept besides the best.
    pub keep: usize,
    /// 0: bytes that checkpoints may take, the best apart; the oldest go first, the newest stays. 0 is no limit.
    pub keep_bytes: u64,
    /// train, val: the splits to train and to validate on.
    pub splits: [String; 2],
    /// 0: validation images, spread evenly over the split; 0 is all of them.
    pub max_val: usize,
    /// 4: validation images whose pictures are saved each time, always the same ones.
    pub pictures: usize,

    /// none: one training of `variant`. Variants named here are trained one after the other instead, each from the best
    /// weights of the one before.
    pub stages: Vec<Variant>,
    /// 0.01: what each stage multiplies the rate of the one before with; the paper's.
    pub stage_rate: f64,
    /// true: the pictured images go through the CRF too, so that its gain or loss is seen. Training never depends on it.
    pub crf: bool,
    /// 5: its iterations; this and what follows is as in the released code of Kraehenbuehl & Koltun.
    pub crf_iterations: usize,
    /// 3: standard deviation of its smoothness kernel in pixels.
    pub crf_gaussian_sxy: f32,
    /// 3: weight of its smoothness kernel.
    pub crf_gaussian_compat: f32,
    /// 80: standard deviation of its appearance kernel in pixels.
    pub crf_bilateral_sxy: f32,
    /// 13: standard deviation of its appearance kernel in steps of colour.
    pub crf_bilateral_srgb: f32,
    /// 10: weight of its appearance kernel.
    pub crf_bilateral_compat: f32,

    /// The input convention; imported weights bring their own.
    pub preprocessing: Preprocessing,
}

impl Default for TrainConfig {
    fn default() -> Self {
        let crf = CrfParams::default();
        TrainConfig {
            model: Model::Fcn,
            variant: Variant::Fcn8s,
            backbone: Backbone::Vgg16,
            width: 1.0,
            geometry: Geometry::Same,
            dropout: 0.5,
            trainable_upsampling: false,
            conv: Algorithm::Fast,
            steps: 1500,
            epochs: 0.0,
            batch: 16,
            accumulate: 1,
            crop: 224,
            scale_min: 0.5,
            scale_max: 1.5,
            flip: true,
            optimizer: OptimizerKind::Adam,
            lr: 1e-4,
            weight_decay: 0.0,
            momentum: 0.9,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            bias_rate: 1.0,
            schedule: ScheduleKind::Constant,
            poly_power: 0.9,
            warmup_steps: 0,
            clip_norm: 0.0,
            loss: Reduction::Mean,
            mask_values: MaskValues::Stored,
            seed: 0,
            log_every: 10,
            save_every: 100,
            validate_every: 200,
            keep: 5,
            keep_bytes: 0,
            splits: ["train".into(), "val".into()],
            max_val: 0,
            pictures: 4,
            stages: Vec::new(),
            stage_rate: 0.01,
            crf: true,
            crf_iterations: crf.iterations,
            crf_gaussian_sxy: crf.gaussian_sxy,
            crf_gaussian_compat: crf.gaussian_compat,
            crf_bilateral_sxy: crf.bilateral_sxy,
            crf_bilateral_srgb: crf.bilateral_srgb,
            crf_bilateral_compat: crf.bilateral_compat,
            preprocessing: Preprocessing::default(),
        }
    }
}

impl TrainConfig {
    /// Reads a TOML file; keys it leaves out have their defaults.
    ///
    /// # Errors
    /// An unreadable file, invalid TOML, an unknown key (with the nearest known one), a value of the wrong type.
    pub fn read(path: &Path) -> Result<Self> {
        let text = String::from_utf8(segdata::files::read::read("the configuration", path)?)
            .map_err(|e| Error::usage(format!("the configuration is not UTF-8: {e}")).at(path))?;
        Self::parse(&text).map_err(|e| e.at(path))
    }

    /// Parses TOML, as [`TrainConfig::read`] does.
    ///
    /// # Errors
    /// Those of [`TrainConfig::read`], apart from the file's.
    pub fn parse(text: &str) -> Result<Self> {
        let placed = |what: &str, e: toml::de::Error| {
            let start = e.span().map_or(0, |span| span.start.min(text.len()));
            let before = text.get(..start).unwrap_or_default();
            let (line, at) = (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |newline| newline + 1));
            let shown = text.get(at..).and_then(|rest| rest.lines().next()).unwrap_or_default().trim();
            Error::usage(format!("{what}{}, in line {line}: {shown}", e.message().trim().replace('\n', " ")))
        };
        let table: toml::Table = toml::from_str(text).map_err(|e| placed("not valid TOML: ", e))?;
        let known = toml::Table::try_from(Self::default())
            .map_err(|e| Error::internal(format!("the default configuration does not serialise: {e}")))?;
        if let Some(key) = table.keys().find(|key| !known.contains_key(*key)) {
            let distances = known.keys().map(|candidate| (strsim::levenshtein(key, candidate), candidate));
            let hint = match distances.min_by_key(|(distance, _)| *distance) {
                Some((distance, nearest)) if distance <= key.len().div_ceil(2) => format!("did you mean '{nearest}'?"),
                _ => format!("the keys are {}", known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
            };
            return Err(Error::usage(format!("unknown key '{key}'")).hint(hint));
        }
        let config: TrainConfig = toml::from_str(text).map_err(|e| placed("", e))?;
        config.validate()?;
        Ok(config)
    }

    /// Sets one key: `lr = 0.01`, as a line of the file or with blanks left out. A text needs no quotes.
    ///
    /// # Errors
    /// What is no `key=value`; an unknown key; a value of the wrong type or out of range.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let (key, value) =
            assignment.split_once('=').map(|(key, value)| (key.trim(), value.trim())).ok_or_else(|| {
                Error::usage(format!("`{assignment}` is no assignment")).hint("expected key=value, such as lr=0.01")
            })?;
        let quoted = || format!("{key} = {}", toml::Value::String(value.to_string()));
        let line = format!("{key} = {value}");
        let line = if toml::from_str::<toml::Table>(&line).is_ok() { line } else { quoted() };
        let parsed: toml::Table = toml::from_str(&line)
            .map_err(|e| Error::usage(format!("`{assignment}` is no assignment: {}", e.message())))?;
        let mut all = toml::Table::try_from(&*self)
            .map_err(|e| Error::internal(format!("the configuration does not serialise: {e}")))?;
        put(&mut all, parsed);
        *self = Self::parse(&all.to_string())?;
        Ok(())
    }

    /// The file that [`TrainConfig::read`] reads back as this configuration.
    ///
    /// # Errors
    /// None in practice: only a fault of the program.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::internal(format!("cannot write the configuration as TOML: {e}")))
    }

    /// Refuses values that cannot work, naming key, value and range.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    pub fn validate(&self) -> Result<()> {
        let at_least_one = |key: &str, value: u64| match value {
            0 => Err(Error::usage(format!("{key} is 0; it must be at least 1"))),
            _ => Ok(()),
        };
        at_least_one("steps", self.steps)?;
        at_least_one("batch", self.batch as u64)?;
        at_least_one("accumulate", self.accumulate as u64)?;
        at_least_one("log_every", self.log_every)?;
        at_least_one("save_every", self.save_every)?;
        at_least_one("validate_every", self.validate_every)?;
        at_least_one("keep", self.keep as u64)?;
        let within = |key: &str, value: f64, low: f64, high: f64| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(Error::usage(format!("{key} is {value}; it must be between {low} and {high}"))),
        };
        within("epochs", self.epochs, 0.0, 1e6)?;
        within("width", self.width.into(), 0.01, 4.0)?;
        within("dropout", self.dropout.into(), 0.0, 0.99)?;
        within("crop", self.crop as f64, 16.0, 16384.0)?;
        within("lr", self.lr, 0.0, 1e30)?;
        within("weight_decay", self.weight_decay.into(), 0.0, 10.0)?;
        within("momentum", self.momentum.into(), 0.0, 0.9999)?;
        within("beta1", self.beta1.into(), 0.0, 0.9999)?;
        within("beta2", self.beta2.into(), 0.0, 0.999_999)?;
        within("epsilon", self.epsilon.into(), 0.0, 1.0)?;
        within("bias_rate", self.bias_rate.into(), 0.0, 100.0)?;
        within("poly_power", self.poly_power, 0.0, 10.0)?;
        within("clip_norm", self.clip_norm, 0.0, 1e30)?;
        within("stage_rate", self.stage_rate, 0.0, 1000.0)?;
        if self.splits[0] == self.splits[1] {
            return Err(Error::usage(format!("splits names `{}` twice: nothing would be held out", self.splits[0]))
                .hint("name a split to train on and another to validate on, such as train and val"));
        }
        if let Some(twice) = self.stages.iter().enumerate().find_map(|(i, v)| self.stages[..i].contains(v).then_some(v))
        {
            return Err(Error::usage(format!(
                "stages name {twice:?} twice; expected each of 32s, 16s, 8s once at most"
            )));
        }
        if self.model != Model::Fcn {
            let plain = TrainConfig::default();
            let fcn_only = [
                ("variant", self.variant != plain.variant),
                ("backbone", self.backbone != plain.backbone),
                ("geometry", self.geometry != plain.geometry),
                ("stages", !self.stages.is_empty()),
            ];
            if let Some((key, _)) = fcn_only.into_iter().find(|(_, set)| *set) {
                return Err(Error::usage(format!("{key} belongs to the model fcn, and the model is another"))
                    .hint("leave it out; batch normalisation is model = \"unet-bn\""));
            }
        }
        within("scale_min", self.scale_min.into(), 0.05, 20.0)?;
        within("scale_max", self.scale_max.into(), self.scale_min.into(), 20.0)?;
        self.crf_params().validate()
    }

    /// The CRF of the validation pictures.
    pub fn crf_params(&self) -> CrfParams {
        CrfParams {
            iterations: self.crf_iterations,
            gaussian_sxy: self.crf_gaussian_sxy,
            gaussian_compat: self.crf_gaussian_compat,
            bilateral_sxy: self.crf_bilateral_sxy,
            bilateral_srgb: self.crf_bilateral_srgb,
            bilateral_compat: self.crf_bilateral_compat,
            fast: false,
        }
    }

    /// The network, but for its classes.
    pub fn architecture(&self) -> Architecture {
        let TrainConfig { variant, backbone, width, geometry, .. } = *self;
        match self.model {
            Model::Fcn => {
                Architecture::Fcn(FcnSpec { variant, backbone, width, trunk: TrunkShape::default(), geometry })
            }
            Model::Unet => Architecture::Unet(UnetSpec { width, normalised: false }),
            Model::UnetBn => Architecture::Unet(UnetSpec { width, normalised: true }),
        }
    }

    /// What the weights do not depend on.
    pub fn network_options(&self) -> NetworkOptions {
        NetworkOptions { dropout: self.dropout, trainable_upsampling: self.trainable_upsampling, algorithm: self.conv }
    }

    /// The update rule's constants.
    pub fn optimizer_options(&self) -> OptimizerOptions {
        OptimizerOptions {
            kind: self.optimizer,
            momentum: self.momentum,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
            bias_rate: self.bias_rate,
        }
    }

    /// The rate as a function of the step.
    pub fn rate_schedule(&self) -> Schedule {
        Schedule {
            kind: self.schedule,
            rate: self.lr,
            power: self.poly_power,
            warmup_steps: self.warmup_steps,
            steps: self.steps,
        }
    }

    /// The same with the number of steps that `epochs` asks for, on a split of `images`.
    pub(crate) fn with_steps_of_epochs(&self, images: usize) -> Self {
        if self.epochs == 0.0 {
            return self.clone();
        }
        let steps = (self.epochs * images as f64 / self.images_per_step() as f64).ceil().max(1.0);
        TrainConfig { steps: steps as u64, epochs: 0.0, ..self.clone() }
    }

    /// Images that one update sees.
    pub fn images_per_step(&self) -> usize {
        self.batch * self.accumulate
    }

    /// The configured rate in the other reduction's terms, for SGD: a rate on the loss summed over the pixels of a full
    /// crop equals this many times as much on their mean, and the other way round. Adam does not care.
    pub fn rate_for_the_other_reduction(&self) -> f64 {
        let pixels = (self.images_per_step() * self.crop * self.crop) as f64;
        match self.loss {
            Reduction::Mean => self.lr / pixels,
            Reduction::Sum => self.lr * pixels,
        }
    }

    /// The keys, with both values, in which a resumed run may not differ from the run it continues. What is left out
    /// here may change: how long, how often and how much is kept.
    pub fn differences(&self, other: &TrainConfig) -> Vec<(String, String, String)> {
        const FREE: [&str; 9] = [
            "steps",
            "epochs",
            "log_every",
            "save_every",
            "validate_every",
            "keep",
            "keep_bytes",
            "max_val",
            "pictures",
        ];
        let (Ok(mine), Ok(theirs)) = (toml::Table::try_from(self), toml::Table::try_from(other)) else {
            return Vec::new();
        };
        let free = |key: &str| FREE.contains(&key) || key == "crf" || key.starts_with("crf_");
        mine.iter()
            .filter(|(key, value)| theirs.get(*key) != Some(value) && !free(key.as_str()))
            .map(|(key, value)| {
                let theirs = theirs.get(key).map(ToString::to_string).unwrap_or_default();
                (key.clone(), value.to_string(), theirs)
            })
            .collect()
    }
}

/// Puts the values of `from` into `table`, those of tables in it one by one.
fn put(table: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(values)) => put(inner, values),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

/// Where a run reads and writes.
#[derive(Clone, Debug)]
pub struct RunPaths {
    /// The data set, in any layout that segdata reads.
    pub data: PathBuf,
    /// What is said about the data set.
    pub open: OpenOptions,
    /// The run folder.
    pub run: PathBuf,
    /// Weights to start from.
    pub init: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_file_written_is_the_configuration_read() {
        let config = TrainConfig { lr: 3e-3, width: 0.25, backbone: Backbone::Vgg16Bn, ..TrainConfig::default() };
        assert_eq!(TrainConfig::parse(&config.to_toml().unwrap()).unwrap(), config);
        assert_eq!(TrainConfig::parse("").unwrap(), TrainConfig::default());
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_the_remedy() {
        let cases = [
            ("stepz = 3", "unknown key 'stepz'", Some("did you mean 'steps'?")),
            ("[preprocessing]\nchannel = 'RGB'", "unknown field `channel`", None),
            ("variant = '9s'", "unknown variant `9s`", None),
            ("model = 'unet'\ngeometry = 'caffe'", "geometry belongs to the model fcn", None),
            ("conv = 'exact'", "unknown variant `exact`, expected one of `direct`, `accurate`, `fast`", None),
            ("steps = -1", "invalid value: integer `-1`", None),
            ("steps = 0", "steps is 0; it must be at least 1", None),
            ("dropout = 1.5", "dropout is 1.5; it must be between 0 and 0.99", None),
            ("scale_min = 2.0\nscale_max = 1.0", "scale_max is 1; it must be between 2 and 20", None),
            ("lr = nan", "lr is NaN", None),
            ("crf_bilateral_srgb = 0.0", "bilateral_srgb is 0", None),
            ("crf_iteration = 3", "unknown key 'crf_iteration'", Some("did you mean 'crf_iterations'?")),
            ("steps =", "not valid TOML", None),
            ("seed = 1\nbatch = 'x'", "expected usize, in line 2: batch = 'x'", None),
            ("seed = 1\nseed = 2", "duplicate key, in line 2: seed = 2", None),
            ("zzzzzzzz = 1", "unknown key 'zzzzzzzz'", None),
        ];
        for (text, message, hint) in cases {
            let error = TrainConfig::parse(text).expect_err(text);
            assert_eq!(error.kind, ErrorKind::Usage, "{text}");
            assert!(error.message.contains(message), "{text}: {}", error.message);
            if hint.is_some() {
                assert_eq!(error.hint.as_deref(), hint, "{text}");
            }
        }
    }

    #[test]
    fn any_key_can_be_set_and_wrong_ones_are_named() {
        let mut config = TrainConfig::default();
        for assignment in ["lr=0.01", "variant = 16s", "flip=false", "splits=[\"a\", \"b\"]", "preprocessing.scale=0.5"]
        {
            config.set(assignment).unwrap_or_else(|e| panic!("{assignment}: {e}"));
        }
        assert_eq!((config.lr, config.variant, config.flip), (0.01, Variant::Fcn16s, false));
        assert_eq!((config.splits[1].as_str(), config.preprocessing.scale), ("b", 0.5));
        for (assignment, message) in [
            ("lr", "`lr` is no assignment"),
            ("lrr=1", "unknown key 'lrr'"),
            ("lr=fast", "invalid type"),
            ("dropout=2", "dropout is 2"),
            ("crop=1", "crop is 1; it must be between 16 and 16384"),
            ("splits=[\"a\", \"a\"]", "splits names `a` twice"),
            ("=3", "is no assignment"),
        ] {
            let before = config.clone();
            let error = config.set(assignment).expect_err(assignment);
            assert!(error.message.contains(message), "{assignment}: {error}");
            assert_eq!(config, before, "{assignment}");
        }
    }

    #[test]
    fn rates_convert_between_sum_and_mean() {
        // The paper's 1e-10 on the sum is about 1.9e-5 on the mean of one 500x375 image.
        let pixels = 500.0 * 375.0;
        let sum = TrainConfig { loss: Reduction::Sum, lr: 1e-10, batch: 1, crop: 433, ..TrainConfig::default() };
        assert!((sum.rate_for_the_other_reduction() / (1e-10 * pixels) - 1.0).abs() < 0.01);
        let mean = TrainConfig { loss: Reduction::Mean, lr: sum.rate_for_the_other_reduction(), ..sum };
        assert!((mean.rate_for_the_other_reduction() / 1e-10 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_resumed_run_may_be_longer_but_not_different() {
        let config = TrainConfig::default();
        let longer = TrainConfig { steps: 9999, keep: 1, crf: false, crf_iterations: 3, ..config.clone() };
        assert!(longer.differences(&config).is_empty());
        let other = TrainConfig { lr: 1e-3, ..config.clone() };
        let keys: Vec<String> = other.differences(&config).into_iter().map(|(key, ..)| key).collect();
        assert_eq!(keys, ["lr"]);
        let other = TrainConfig { conv: Algorithm::Direct, ..config.clone() };
        assert_eq!(other.differences(&config), [("conv".into(), "\"direct\"".into(), "\"fast\"".into())]);
    }
}
