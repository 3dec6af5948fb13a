//! Timings of the product's own paths: the forward pass, the training step, the CRF, the data loader and the converter.
//!
//! Every measurement warms up once, then times each run by itself; median and minimum are reported, since shared machines
//! are noisy.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use densecrf::{DenseCrf, Unary};
use fcn_core::device::{Device, Tensor, TensorData};
use serde::Serialize;

use fcn_core::device::is_cpu;
use fcn_core::device::with_values;
use fcn_core::infer::{CrfParams, fault, memory_left, memory_limit};
use fcn_core::loss::{PixelLoss, Reduction, valid_pixels};
use fcn_core::network::ModelMeta;
use fcn_core::network::{DropoutKey, Frozen, Network, WeightForm};
use fcn_core::peak_rss_bytes;
use fcn_core::train::TrainConfig;
use fcn_core::train::{Optimizer, add_gradients, gradient_norm};
use fcn_core::{Error, Result};
use segdata::convert::{ConvertOptions, ExifPolicy, OnError, Target, VoidPolicy, convert};
use segdata::dataset::augment::AugmentOptions;
use segdata::dataset::loader::{BatchPlan, Loader};
use segdata::dataset::{Dataset, OpenOptions};
use segdata::image::RgbImage;
use segdata::image::preprocessing::Preprocessing;
use segdata::labels::{Classes, LabelMap, VOC_NAMES};
use segdata::pictures::canvas::Canvas;
use segdata::rng::{Purpose, Rng};
use segdata::size::Size;
use segdata::synthetic::draw_scene;

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Height and width of the input in pixels.
    pub size: [usize; 2],
    /// Images a run.
    pub batch: usize,
    /// Family, variant, backbone, width and geometry of the network, its convolutions, and the optimiser.
    pub config: TrainConfig,
    /// In which form an inferring network holds its weights.
    pub weights: WeightForm,
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
    /// What each layer takes, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerRow>,
}

/// One layer of a measurement.
#[derive(Clone, Debug, Serialize)]
pub struct LayerRow {
    /// Published name; `frame` and `crop` are what happens around the network.
    pub layer: String,
    /// Median time in seconds.
    pub median_s: f64,
    /// Floating point operations that the definition needs, in 1e9 a second of the median: what fewer multiplications
    /// save shows as a higher figure. 0 where a layer multiplies nothing that is counted.
    pub gflop_per_s: f64,
    /// Of the sum over all layers.
    pub share: f64,
}

/// A CRF to measure.
#[derive(Clone, Debug)]
pub struct CrfBenchOptions {
    /// Height and width of the photograph in pixels.
    pub size: [usize; 2],
    /// Labels.
    pub labels: usize,
    /// Kernels, iterations and mode.
    pub params: CrfParams,
    /// Timed runs.
    pub runs: usize,
}

/// One measurement of the CRF.
#[derive(Clone, Debug, Serialize)]
pub struct CrfBenchRow {
    /// Set-up and inference together; the width means nothing here.
    #[serde(flatten)]
    pub row: BenchRow,
    /// Labels.
    pub labels: usize,
    /// Mean-field iterations of a run.
    pub iterations: usize,
    /// `exact` or `fast`.
    pub mode: &'static str,
    /// Median time to build the kernels and their normalisation, in seconds.
    pub setup_s: f64,
    /// Median time of inference divided by its iterations, in seconds.
    pub iteration_s: f64,
}

/// The CRF over drawn scenes. Energies and their copy into the CRF are not timed, nor is reading out the result, as is
/// usual for its kind; set-up includes what the first inference would otherwise do first.
///
/// # Errors
/// Parameters out of range, or too little memory.
pub fn crf(options: &CrfBenchOptions) -> Result<CrfBenchRow> {
    let ([height, width], params) = (options.size, &options.params);
    params.validate()?;
    memory_left(params, [width, height], options.labels, memory_limit())?;
    let (photo, labels) = scenes(width, height);
    let mut rng = Rng::derive(0, Purpose::Bench, &[2]);
    let energies: Vec<f32> = (0..options.labels)
        .flat_map(|label| labels.ids.iter().map(move |&id| usize::from(id) % options.labels == label))
        .map(|is_true| rng.between(0.0, 4.0) + if is_true { 0.0 } else { 1.5 })
        .collect();
    let (mut setups, mut inferences) = (Vec::new(), Vec::new());
    for _ in 0..=options.runs.max(1) {
        let posed = DenseCrf::new(width, height, options.labels)
            .and_then(|crf| crf.mode(params.mode()).unary(Unary::from_energies(&energies)))
            .map_err(fault)?;
        let started = Instant::now();
        let ready = params.add_kernels(posed, &photo.rgb_hwc).map_err(fault)?;
        ready.prepare();
        setups.push(started.elapsed().as_secs_f64());
        let started = Instant::now();
        std::hint::black_box(ready.inference(params.iterations).map_err(fault)?);
        inferences.push(started.elapsed().as_secs_f64());
    }
    // The first run warms up.
    let (setups, inferences) = (&setups[1..], &inferences[1..]);
    let totals: Vec<f64> = setups.iter().zip(inferences).map(|(a, b)| a + b).collect();
    let mode = if params.fast { "fast" } else { "exact" };
    Ok(CrfBenchRow {
        row: row(&format!("crf-{mode}"), options.size, 1, 1.0, totals),
        labels: options.labels,
        iterations: params.iterations,
        mode,
        setup_s: median(&mut setups.to_vec()),
        iteration_s: median(&mut inferences.to_vec()) / params.iterations.max(1) as f64,
    })
}

/// Drawn scenes side by side until they cover a picture, and their masks.
fn scenes(width: usize, height: usize) -> (RgbImage, LabelMap) {
    let size = Size { width, height };
    let (mut canvas, mut labels) = (Canvas::new(size, [0; 3]), LabelMap::filled(size, 0));
    let (mut y, mut index) = (0, 0);
    while y < height {
        let (mut x, mut lowest) = (0, usize::MAX);
        while x < width {
            let (photo, mask) = draw_scene(0, index);
            canvas.place(&photo, x, y);
            let columns = mask.width.min(width - x);
            for (row, ids) in mask.ids.chunks_exact(mask.width).enumerate().take(height - y) {
                labels.ids[(y + row) * width + x..][..columns].copy_from_slice(&ids[..columns]);
            }
            x += mask.width;
            lowest = lowest.min(mask.height);
            index += 1;
        }
        y += lowest;
    }
    (canvas.into_image(), labels)
}

/// The forward pass in inference.
///
/// # Errors
/// A device that fails.
pub fn infer(options: &BenchOptions) -> Result<BenchRow> {
    let network = Frozen::new(network(options), options.weights);
    let images = images(options);
    let times = time(options.runs, || {
        let logits = network.forward(images.clone());
        with_values(&logits, |scores| std::hint::black_box(scores[0])).map(|_| ())
    })?;
    Ok(network_row("fcn-infer", options, times))
}

/// As [`infer`], layer by layer.
///
/// # Errors
/// A device other than the CPU: it works behind the caller's back, so that times of single layers mean nothing.
pub fn infer_layers(options: &BenchOptions) -> Result<BenchRow> {
    if !is_cpu(&options.device) {
        return Err(Error::usage("times of single layers can be taken on the CPU only").hint("add --device cpu"));
    }
    let network = Frozen::new(network(options), options.weights);
    let images = images(options);
    let mut laps: Vec<(String, Vec<f64>)> = Vec::new();
    let times = time(options.runs, || {
        let (_, times) = network.forward_timed(images.clone());
        laps.resize_with(times.len(), Default::default);
        for ((name, list), time) in laps.iter_mut().zip(times) {
            *name = time.layer;
            list.push(time.seconds);
        }
        Ok(())
    })?;
    let [height, width] = options.size;
    let graph = network.meta().graph();
    let costs = graph.multiply_adds(height, width);
    // The first pass warmed up.
    let medians: Vec<f64> = laps.iter_mut().map(|(_, list)| median(&mut list[1..])).collect();
    let total: f64 = medians.iter().sum();
    let mut row = network_row("fcn-infer", options, times);
    row.layers = laps
        .into_iter()
        .zip(medians)
        .map(|((layer, _), median_s)| {
            let count = costs.iter().find(|(name, _)| *name == layer).map_or(0, |(_, count)| *count);
            let operations = 2.0 * count as f64 * options.batch as f64;
            let gflop_per_s = operations / 1e9 / median_s.max(1e-9);
            LayerRow { layer, median_s, gflop_per_s, share: median_s / total.max(1e-12) }
        })
        .collect();
    Ok(row)
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
        let mut gradients = vec![None; fcn.parameters().len()];
        add_gradients(&fcn, &loss, &mut gradients);
        step += 1;
        // The trainer looks at it in every step.
        std::hint::black_box(gradient_norm(&gradients)?);
        optimizer.step(&mut fcn, &gradients, options.config.lr, 1.0 / rule.divisor(valid_pixels(&labels)))?;
        with_values(&loss, |loss| loss[0]).map(|_| ())
    })?;
    Ok(network_row("fcn-train", options, times))
}

/// Batches of the training split of `data`, as the trainer gets them, without a trainer.
///
/// # Errors
/// A data set that cannot be read.
pub fn load(options: &BenchOptions, data: &Path, open: &OpenOptions) -> Result<BenchRow> {
    let dataset = Dataset::open_with(data, open)?;
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
    let mut row = network_row("fcn-load", options, times);
    row.images_per_s = options.batch as f64 / mean;
    Ok(row)
}

/// The converter, from `data` to a temporary folder.
///
/// # Errors
/// Those of the converter.
pub fn convert_dataset(options: &BenchOptions, data: &Path, open: &OpenOptions) -> Result<BenchRow> {
    let out = std::env::temp_dir().join(format!("fcn-bench-{}", std::process::id()));
    let mut written = 0;
    let times = time(options.runs, || {
        let convert_options = ConvertOptions {
            data: data.to_path_buf(),
            open: open.clone(),
            out: out.clone(),
            to: Target::Records,
            splits: vec!["train".into(), "val".into()],
            shards: 1,
            min_size: 1,
            void: VoidPolicy::Keep,
            on_error: OnError::Stop,
            exif: ExifPolicy::Stored,
            overwrite: true,
        };
        written = convert(&convert_options, &|_, _| ())?.splits.iter().map(|split| split.written).sum::<usize>();
        Ok(())
    });
    let removed = std::fs::remove_dir_all(&out).map_err(|e| Error::io("remove the temporary folder", &out, &e));
    let mut row = network_row("fcn-convert", options, times?);
    removed?;
    row.batch = written;
    row.images_per_s = row.batch as f64 / row.median_s;
    Ok(row)
}

fn network(options: &BenchOptions) -> Network {
    let config = &options.config;
    let meta = ModelMeta {
        architecture: config.architecture(),
        classes: Classes::voc(),
        preprocessing: Preprocessing::default(),
    };
    Network::init(meta, &config.network_options(), 0, &options.device)
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

fn network_row(name: &str, options: &BenchOptions, times: Vec<f64>) -> BenchRow {
    row(name, options.size, options.batch, options.config.width, times)
}

/// Sorts the times; of an even number the upper one in the middle.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

fn row(name: &str, size: [usize; 2], batch: usize, width: f32, mut times: Vec<f64>) -> BenchRow {
    let median_s = median(&mut times);
    BenchRow {
        name: name.to_string(),
        size: format!("{}x{}", size[0], size[1]),
        batch,
        width,
        threads: rayon::current_num_threads(),
        median_s,
        min_s: times.first().copied().unwrap_or(0.0),
        runs: times.len(),
        images_per_s: batch as f64 / median_s,
        peak_rss_bytes: peak_rss_bytes(),
        layers: Vec::new(),
    }
}
