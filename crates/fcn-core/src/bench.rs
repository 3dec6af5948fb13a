//! Timings of the product's own paths: the forward pass, the training step, the data loader and the converter.
//!
//! Every measurement warms up once, then times each run by itself; median and minimum are reported, since shared machines
//! are noisy.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use crate::config::TrainConfig;
use crate::convert::{ConvertOptions, ExifPolicy, OnError, VoidPolicy, convert};
use crate::data::augment::AugmentOptions;
use crate::data::loader::{BatchPlan, Loader};
use crate::data::{Dataset, SPLIT_SEED};
use crate::environment::peak_rss_bytes;
use crate::host::with_values;
use crate::labels::{Classes, VOC_NAMES};
use crate::loss::{PixelLoss, Reduction, valid_pixels};
use crate::model::{DropoutKey, Fcn, FcnOptions};
use crate::optim::Optimizer;
use crate::rng::{Purpose, Rng};
use crate::weights::{ModelMeta, Preprocessing, TrunkShape};
use crate::{Error, Result};

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Height and width of the input in pixels.
    pub size: [usize; 2],
    /// Images a run.
    pub batch: usize,
    /// Variant, backbone, width and geometry of the network, and the optimiser.
    pub config: TrainConfig,
    /// Timed runs.
    pub runs: usize,
    /// Where to compute.
    pub device: Device,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub struct BenchRow {
    /// What was measured.
    pub name: String,
    /// `HxW`, or what stands for it.
    pub size: String,
    /// Images a run.
    pub batch: usize,
    /// Width multiplier of the network.
    pub width: f32,
    /// Worker threads.
    pub threads: usize,
    /// Median time of a run in seconds.
    pub median_s: f64,
    /// Shortest run in seconds.
    pub min_s: f64,
    /// Timed runs.
    pub runs: usize,
    /// Images a second, by the median.
    pub images_per_s: f64,
    /// Most memory the process has had, in bytes.
    pub peak_rss_bytes: u64,
}

/// The forward pass in inference.
///
/// # Errors
/// A device that fails.
pub fn infer(options: &BenchOptions) -> Result<BenchRow> {
    let fcn = network(options);
    let images = images(options);
    let times = time(options.runs, || {
        let logits = fcn.forward(images.clone());
        with_values(&logits.sum(), |sum| sum[0]).map(|_| ())
    })?;
    Ok(row("fcn-infer", options, times))
}

/// A whole training step: forward, loss, backward and update.
///
/// # Errors
/// A device that fails, or an update that is not finite.
pub fn train(options: &BenchOptions) -> Result<BenchRow> {
    let mut fcn = network(options);
    fcn.for_training();
    let mut optimizer = Optimizer::new(options.config.optimizer_options(), &fcn);
    let images = images(options);
    let mut rng = Rng::derive(0, Purpose::Bench, &[1]);
    let pixels = options.batch * options.size[0] * options.size[1];
    let labels: Vec<u8> = (0..pixels).map(|_| rng.below(VOC_NAMES.len()) as u8).collect();
    let rule = PixelLoss { reduction: Reduction::Mean };
    let mut step = 0;
    let times = time(options.runs, || {
        let key = DropoutKey { seed: 0, step, micro: 0 };
        let loss = rule.sum(fcn.forward_train(images.clone(), key), &labels)?;
        let mut found = loss.backward();
        let gradients: Vec<Option<Tensor<1>>> =
            fcn.parameters().iter().map(|parameter| parameter.tensor.grad_remove(&mut found)).collect();
        drop(found);
        step += 1;
        optimizer.step(&mut fcn, &gradients, options.config.lr, 1.0 / rule.divisor(valid_pixels(&labels)))?;
        with_values(&loss, |loss| loss[0]).map(|_| ())
    })?;
    Ok(row("fcn-train", options, times))
}

/// Batches of the training split of `data`, as the trainer gets them, without a trainer.
///
/// # Errors
/// A data set that cannot be read.
pub fn load(options: &BenchOptions, data: &Path, classes: Option<&Path>) -> Result<BenchRow> {
    let dataset = Dataset::open(data, classes, SPLIT_SEED)?;
    let plan = BatchPlan {
        seed: 0,
        batch: options.batch,
        augment: AugmentOptions {
            crop: options.size[0],
            scale_min: options.config.scale_min,
            scale_max: options.config.scale_max,
            flip: options.config.flip,
        },
        preprocessing: Preprocessing::default(),
    };
    let mut loader = Loader::start(Arc::new(dataset.split("train")?), plan, 0)?;
    // The queues are full at first: time as many batches as they hold, then all runs as one.
    for _ in 0..options.runs {
        loader.next_batch()?;
    }
    let times = time(options.runs, || loader.next_batch().map(|_| ()))?;
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let mut row = row("fcn-load", options, times);
    row.images_per_s = options.batch as f64 / mean;
    Ok(row)
}

/// The converter, from `data` to a temporary folder.
///
/// # Errors
/// Those of the converter.
pub fn convert_dataset(options: &BenchOptions, data: &Path, classes: Option<&Path>) -> Result<BenchRow> {
    let out = std::env::temp_dir().join(format!("fcn-bench-{}", std::process::id()));
    let mut written = 0;
    let times = time(options.runs, || {
        let convert_options = ConvertOptions {
            data: data.to_path_buf(),
            classes: classes.map(Path::to_path_buf),
            out: out.clone(),
            splits: vec!["train".into(), "val".into()],
            shards: 1,
            min_size: 1,
            void: VoidPolicy::Keep,
            on_error: OnError::Stop,
            exif: ExifPolicy::Stored,
            overwrite: true,
            seed: SPLIT_SEED,
        };
        written = convert(&convert_options, &|_, _| ())?.splits.iter().map(|split| split.written).sum::<usize>();
        Ok(())
    });
    let removed = std::fs::remove_dir_all(&out).map_err(|e| Error::io("remove the temporary folder", &out, &e));
    let mut row = row("fcn-convert", options, times?);
    removed?;
    row.batch = written;
    row.images_per_s = row.batch as f64 / row.median_s;
    Ok(row)
}

fn network(options: &BenchOptions) -> Fcn {
    let config = &options.config;
    let meta = ModelMeta {
        variant: config.variant,
        backbone: config.backbone,
        width: config.width,
        trunk: TrunkShape::default(),
        geometry: config.geometry,
        classes: Classes::voc(),
        preprocessing: Preprocessing::default(),
    };
    Fcn::init(meta, &FcnOptions::default(), 0, &options.device)
}

/// Normal noise, `[N, 3, H, W]`.
fn images(options: &BenchOptions) -> Tensor<4> {
    let [height, width] = options.size;
    let mut rng = Rng::derive(0, Purpose::Bench, &[0]);
    let values: Vec<f32> = (0..options.batch * 3 * height * width).map(|_| rng.normal()).collect();
    Tensor::from_data(TensorData::new(values, [options.batch, 3, height, width]), &options.device)
}

/// Seconds of each run after one that does not count.
fn time(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    run()?;
    (0..runs.max(1))
        .map(|_| {
            let start = Instant::now();
            run()?;
            Ok(start.elapsed().as_secs_f64())
        })
        .collect()
}

fn row(name: &str, options: &BenchOptions, mut times: Vec<f64>) -> BenchRow {
    times.sort_by(f64::total_cmp);
    let median_s = times[times.len() / 2];
    BenchRow {
        name: name.to_string(),
        size: format!("{}x{}", options.size[0], options.size[1]),
        batch: options.batch,
        width: options.config.width,
        threads: rayon::current_num_threads(),
        median_s,
        min_s: times[0],
        runs: times.len(),
        images_per_s: options.batch as f64 / median_s,
        peak_rss_bytes: peak_rss_bytes(),
    }
}
