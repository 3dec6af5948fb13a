//! The training loop, written out: open the data, build or resume the model, then each step: rate, forward, loss,
//! backward, update, log; now and then validate and save.
//!
//! What happens at a step depends on the step's number alone, so that a run stopped anywhere and resumed repeats what the
//! uninterrupted run would have done, bit for bit on the CPU.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use crate::device::values::with_values;
use crate::environment::Environment;
use crate::loss::{PixelLoss, valid_pixels};
use crate::network::{Architecture, DropoutKey, ModelMeta, Network};
use crate::train::checkpoint::{self, Best, Checkpoints, SAMPLER_VERSION, State};
use crate::train::config::{RunPaths, TrainConfig};
use crate::train::events::{Event, StopSignal};
use crate::train::memory::{self, CheckpointRoom};
use crate::train::optim::{Optimizer, add_gradients, gradient_norm};
use crate::train::pace::{Done, Pace};
use crate::train::run_log::RunLog;
use crate::train::starting_weights::StartingWeights;
use crate::train::validation::Validator;
use crate::{Error, ErrorKind, Result};
use segdata::dataset::augment::AugmentOptions;
use segdata::dataset::loader::{Batch, BatchPlan, Loader};
use segdata::dataset::{Dataset, Form, OpenOptions, Split};

/// What to train, on what, where to.
pub struct TrainOptions {
    /// What decides the result.
    pub config: TrainConfig,
    /// Where it reads and writes.
    pub paths: RunPaths,
    /// Whether to go on with the run in the folder.
    pub resume: bool,
    /// Where to compute.
    pub device: Device,
    /// Its name, for the record.
    pub device_name: String,
    /// The command line, for the record.
    pub command: Vec<String>,
}

impl TrainOptions {
    /// A new run in the folder `run` on the data at `data`, from random weights, on this processor.
    pub fn new(config: TrainConfig, data: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        TrainOptions {
            config,
            paths: RunPaths { data: data.into(), open: Default::default(), run: run.into(), init: None },
            resume: false,
            device: Device::flex(),
            device_name: "cpu".to_string(),
            command: Vec::new(),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct TrainReport {
    /// How the data set lies on disk.
    pub layout: Form,
    /// Updates done.
    pub steps: u64,
    /// The best validation.
    pub best: Option<Best>,
    /// The newest checkpoint.
    #[serde(serialize_with = "segdata::files::path_text::optional_path_as_text")]
    pub last: Option<PathBuf>,
    /// The run folder.
    #[serde(serialize_with = "segdata::files::path_text::path_as_text")]
    pub run: PathBuf,
    /// The reports of all stages, where the training had stages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<TrainReport>,
}

/// Trains until the configured number of steps is done in all.
///
/// # Errors
/// See the catalogue of [`ErrorKind`]: unusable data, weights that do not fit, a folder in use or with another run, a
/// loss that is not finite, a signal. Whatever the fault, what was saved stays whole.
pub fn train(options: &TrainOptions, stop: &StopSignal, emit: &mut dyn FnMut(Event)) -> Result<TrainReport> {
    let paths = &options.paths;
    options.config.validate()?;

    // ---- data
    if paths.data.exists() {
        emit(Event::Phase(format!("opening {}", paths.data.display())));
    }
    let open = OpenOptions { mask_values: options.config.mask_values, ..paths.open.clone() };
    let dataset = Dataset::open_with(&paths.data, &open)?;
    emit(Event::Phase(format!("looking at the masks of {} photographs", dataset.listed())));
    let (training, validation) = splits(&options.config, &dataset, emit)?;
    let fingerprint = training.fingerprint();

    if options.device_name == "cpu" {
        refuse_beyond_memory(&options.config, &dataset)?;
    }

    // ---- run folder
    let fresh = starts_fresh(&paths.run, options.resume)?;
    let _lock = lock_run(&paths.run)?;
    let mut config = options.config.with_steps_of_epochs(training.len());
    let before = if fresh { None } else { Some(TrainConfig::read(&paths.run.join("config.toml"))?) };
    emit(Event::Phase(match (&paths.init, fresh) {
        (Some(path), true) => format!("reading the weights of {}", path.display()),
        (None, true) => "making the network".into(),
        (_, false) => format!("reading the last checkpoint of {}", paths.run.display()),
    }));
    let start = match &paths.init {
        Some(path) if fresh => Some(StartingWeights::open(path, &paths.run, &mut |text| emit(Event::Remark(text)))?),
        _ => None,
    };
    // The input convention belongs to the weights that a run starts or once started from.
    if let Some(start) = &start {
        config.preprocessing = start.preprocessing().clone();
    } else if let (Some(before), Some(_)) = (&before, &paths.init) {
        config.preprocessing = before.preprocessing.clone();
    }
    let config = &config;
    let saved_config = config.to_toml()?;
    let checkpoints = Checkpoints::new(&paths.run, config.keep, config.keep_bytes, &saved_config);

    // ---- model, optimiser, and where we stand
    let mut run = match &before {
        None => begin(options, config, start, &dataset, &fingerprint, emit)?,
        Some(before) => resume(options, config, before, &dataset, &fingerprint, &checkpoints, emit)?,
    };
    let room = CheckpointRoom::of(&run.fcn.meta, config.optimizer, config.keep, config.keep_bytes, &paths.run);
    room.refuse_a_small_disk(&paths.run)?;
    write_text(&paths.run.join("config.toml"), &saved_config)?;
    Environment::of(&options.command, &options.device_name, &paths.data, &fingerprint).write(&paths.run)?;
    let mut log = RunLog::open(&paths.run, run.state.step)?;
    if run.state.step == 0 {
        log.configuration(&saved_config);
    }
    let mut validator =
        Validator::new(&paths.run, validation, config.pictures, config.crf.then(|| config.crf_params()))?;
    emit(Event::Start {
        layout: dataset.form,
        left_out: dataset.left_out(),
        config,
        run: &paths.run,
        parameters: run.fcn.trainable_count(),
        images: [training.len(), validator.len()],
        room,
        step: run.state.step,
    });
    // ---- steps
    let loss_rule = PixelLoss { reduction: config.loss };
    let schedule = config.rate_schedule();
    let accumulate = config.accumulate as u64;
    let plan = batch_plan(config, &run.fcn.meta);
    let mut loader = Loader::start(Arc::clone(&training), plan, run.state.step * accumulate)?;
    let mut pace = Pace::new(config.images_per_step(), training.len(), config.steps);
    run.fcn.for_training();
    let mut moved = false;
    loop {
        // What is due where we stand; after a resume that is a validation which a signal had cut short.
        let step = run.state.step;
        let mut save = moved && (step.is_multiple_of(config.save_every) || step >= config.steps);
        if let Some(due) = run.validation_due(config) {
            save |= run.validate(due, &mut validator, &mut log, stop, emit)?;
        }
        save |= stop.requested().is_some() && (moved || run.last.is_none());
        if save {
            let path = checkpoints.save(&run.fcn, &run.optimizer, &run.state)?;
            emit(Event::Saved(&path));
            run.last = Some(path);
        }
        if let Some(fault) = log.take_fault() {
            emit(Event::Remark(format!("TensorBoard's event file cannot be written; training goes on: {fault}")));
        }
        if let Some(kind) = stop.requested() {
            return Err(Error::new(kind, format!("stopped by a signal; step {step} is saved"))
                .at(&paths.run)
                .hint("the same command with `resume` goes on from here"));
        }
        if step >= config.steps {
            let (best, folder) = (run.state.best, paths.run.clone());
            return Ok(TrainReport {
                layout: dataset.form,
                steps: step,
                best,
                last: run.last,
                run: folder,
                stages: Vec::new(),
            });
        }

        let started = Instant::now();
        let rate = schedule.rate_at(run.state.step);

        // Forward and backward, one micro-batch at a time; gradients of the summed loss add up.
        let mut gradients: Vec<Option<Tensor<1>>> = vec![None; run.fcn.parameters().len()];
        let (mut loss_sum, mut valid) = (0.0f64, 0u64);
        let mut ids = Vec::new();
        for micro in 0..accumulate {
            let waiting = Instant::now();
            let mut batch = loader.next_batch()?;
            pace.waited(waiting);
            valid += valid_pixels(&batch.labels_nhw);
            let key = DropoutKey { seed: config.seed, step: run.state.step, micro };
            loss_sum += run.backward(&mut batch, &loss_rule, key, config.crop, &options.device, &mut gradients)?;
            ids.extend(batch.ids);
        }

        // The update, unless something is not finite: then nothing changes, in memory or on disk.
        let loss = loss_sum / valid.max(1) as f64;
        let scale = 1.0 / loss_rule.divisor(valid);
        let norm = gradient_norm(&gradients)? * scale;
        if !loss.is_finite() || !norm.is_finite() {
            return Err(not_finite(run.state.step + 1, loss, norm, rate, &ids));
        }
        let clip = if config.clip_norm > 0.0 { (config.clip_norm / norm.max(1e-12)).min(1.0) } else { 1.0 };
        run.optimizer.step(&mut run.fcn, &gradients, rate, scale * clip)?;
        drop(gradients);
        run.advance(config, training.len());

        let step = run.state.step;
        let done = Done { step, loss, rate, gradient_norm: norm };
        emit(Event::Live(&pace.step(started, done)));
        if step.is_multiple_of(config.log_every) || step == config.steps {
            let line = pace.line(done);
            log.step(&line)?;
            emit(Event::Step(&line));
        }
        moved = true;
    }
}

/// What changes from step to step.
struct Run {
    fcn: Network,
    optimizer: Optimizer,
    state: State,
    last: Option<PathBuf>,
}

impl Run {
    /// Adds one micro-batch's gradients to `gradients`; returns its summed loss. Takes the images out of the batch.
    fn backward(
        &mut self,
        batch: &mut Batch,
        rule: &PixelLoss,
        key: DropoutKey,
        crop: usize,
        device: &Device,
        gradients: &mut [Option<Tensor<1>>],
    ) -> Result<f64> {
        let images = batch.ids.len();
        let data = TensorData::new(std::mem::take(&mut batch.images_nchw), [images, 3, crop, crop]);
        let logits = self.fcn.forward_train(Tensor::from_data(data, device), key); // [N, K, S, S]
        let loss = rule.sum(logits, &batch.labels_nhw)?; // [1]
        add_gradients(&self.fcn, &loss, gradients);
        with_values(&loss, |values| f64::from(values[0]))
    }

    fn advance(&mut self, config: &TrainConfig, samples: usize) {
        self.state.step += 1;
        self.state.updates = self.optimizer.updates();
        self.state.position = self.state.step * config.images_per_step() as u64;
        self.state.epoch = self.state.position / samples.max(1) as u64;
    }

    /// The step, if a validation is due there that has not been done.
    fn validation_due(&self, config: &TrainConfig) -> Option<u64> {
        let step = self.state.step;
        let due = step > 0 && (step.is_multiple_of(config.validate_every) || step == config.steps);
        (due && self.state.validated != Some(step)).then_some(step)
    }

    /// Validates and remembers the best. Returns whether a checkpoint is due because this is the best so far. A signal
    /// ends it early: then it counts as not done, and the resumed run does it.
    fn validate(
        &mut self,
        step: u64,
        validator: &mut Validator,
        log: &mut RunLog,
        stop: &StopSignal,
        emit: &mut dyn FnMut(Event),
    ) -> Result<bool> {
        let Some(validation) = validator.run(step, &self.fcn, log, stop, emit)? else { return Ok(false) };
        emit(Event::Validation(&validation));
        self.state.validated = Some(step);
        // Without a single labelled pixel there is no score, and no best.
        let Some(miou) = validation.miou() else { return Ok(false) };
        let better = self.state.best.is_none_or(|best| miou > best.miou);
        if better {
            self.state.best = Some(Best { step, miou });
        }
        Ok(better)
    }
}

/// The splits to train and to validate on.
///
/// # Errors
/// Splits that are not there or faulty, and masks that nothing can be learnt from.
fn splits(config: &TrainConfig, dataset: &Dataset, emit: &mut dyn FnMut(Event)) -> Result<(Arc<Split>, Split)> {
    let [train, val] = &config.splits;
    let (training, mut validation) = (dataset.split(train)?, dataset.split(val)?);
    dataset.refuse_one_class()?;
    if config.max_val > 0 {
        validation = validation.only(&validation.spread(config.max_val));
    }
    let shared = training.ids_in(&validation);
    if let Some(first) = shared.first() {
        emit(Event::Remark(format!(
            "warning: {} images are in {train} and in {val} ({first}, ...): the scores will be too good; `check` lists them",
            shared.len()
        )));
    }
    Ok((Arc::new(training), validation))
}

/// Refuses a training step that this machine cannot hold.
fn refuse_beyond_memory(config: &TrainConfig, dataset: &Dataset) -> Result<()> {
    let TrainConfig { optimizer, batch, crop, width, .. } = *config;
    memory::refuse_beyond_memory(
        &format!("a step of {batch} crops of {crop} pixels at width {width}"),
        memory::training_bytes(&network(config, dataset), optimizer, batch, crop),
        "lower `batch`, `crop` or `width`; `accumulate` keeps the number of images of an update",
    )
}

/// The network that a configuration asks for.
fn network(config: &TrainConfig, dataset: &Dataset) -> ModelMeta {
    let (classes, preprocessing) = (dataset.classes.clone(), config.preprocessing.clone());
    ModelMeta { architecture: config.architecture(), classes, preprocessing }
}

/// The widest network that learns something from random weights in the time of a first try.
const WIDEST_FROM_NOTHING: f32 = 0.5;

/// A new run: fresh weights, or those of `init`.
fn begin(
    options: &TrainOptions,
    config: &TrainConfig,
    start: Option<StartingWeights>,
    dataset: &Dataset,
    fingerprint: &str,
    emit: &mut dyn FnMut(Event),
) -> Result<Run> {
    let mut meta = network(config, dataset);
    let fcn_options = config.network_options();
    if let Some(start) = &start {
        start.refuse_another_trunk(&meta)?;
        // Channels that no width describes come with the weights.
        if let (Architecture::Fcn(spec), Some(own)) = (&mut meta.architecture, start.trunk()) {
            spec.trunk = own.trunk;
        }
        if let Some(theirs) = start.geometry().filter(|theirs| *theirs != config.geometry) {
            emit(Event::Remark(format!(
                "the weights to start from were trained with the geometry {theirs:?}, not {:?}; `geometry` keeps theirs",
                config.geometry
            )));
        }
    }
    if start.is_none() && config.width > WIDEST_FROM_NOTHING {
        emit(Event::Remark(format!(
            "warning: width {} from random weights learns little in hours: give pretrained weights with `init`, or lower \
             `width` to 0.25 and take batch normalisation (`backbone` = vgg16-bn, `model` = unet-bn)",
            config.width
        )));
    }
    let mut fcn = Network::init(meta, &fcn_options, config.seed, &options.device);
    if let Some(start) = start {
        let adopted = start.adopt(&mut fcn)?;
        if !adopted.fresh.is_empty() {
            emit(Event::Remark(format!("these layers start anew: {}", adopted.fresh.join(", "))));
        }
        if !adopted.unused.is_empty() {
            emit(Event::Remark(format!(
                "of the weights to start from these are not used: {}",
                adopted.unused.join(", ")
            )));
        }
    }
    let optimizer = Optimizer::new(config.optimizer_options(), &fcn);
    let state = State {
        step: 0,
        epoch: 0,
        position: 0,
        seed: config.seed,
        sampler_version: SAMPLER_VERSION,
        updates: 0,
        validated: None,
        best: None,
        data_fingerprint: fingerprint.to_string(),
    };
    Ok(Run { fcn, optimizer, state, last: None })
}

/// The run in the folder, from its newest checkpoint that verifies.
fn resume(
    options: &TrainOptions,
    config: &TrainConfig,
    before: &TrainConfig,
    dataset: &Dataset,
    fingerprint: &str,
    checkpoints: &Checkpoints,
    emit: &mut dyn FnMut(Event),
) -> Result<Run> {
    if let Some((key, now, then)) = config.differences(before).into_iter().next() {
        return Err(Error::usage(format!("{key} is {now}, but the run to resume has {then}"))
            .at(&options.paths.run)
            .hint("resume without that option, or start a new run with `init` and the old weights"));
    }
    let found = checkpoints.newest()?;
    for (path, fault) in &found.passed_over {
        emit(Event::Remark(format!("passed over {}: {fault}", path.display())));
    }
    if found.state.data_fingerprint != fingerprint {
        return Err(Error::data("the training data is not what this run was trained on: its fingerprint has changed")
            .at(&options.paths.data)
            .hint("restore the data, or start a new run with `init` and the old weights"));
    }
    let (mut fcn, optimizer) =
        checkpoint::load(&found.path, &found.state, config.optimizer_options(), &options.device)?;
    if fcn.meta.classes != dataset.classes {
        let (there, here) = (fcn.meta.classes.len(), dataset.classes.len());
        return Err(Error::weights(format!(
            "the run has {there} classes, the data {here}, or their names or colours differ"
        ))
        .at(&found.path));
    }
    fcn.options = config.network_options();
    emit(Event::Remark(format!("resuming at step {} from {}", found.state.step, found.path.display())));
    Ok(Run { fcn, optimizer, state: found.state, last: Some(found.path) })
}

fn batch_plan(config: &TrainConfig, meta: &ModelMeta) -> BatchPlan {
    BatchPlan {
        seed: config.seed,
        batch: config.batch,
        augment: AugmentOptions {
            crop: config.crop,
            scale_min: config.scale_min,
            scale_max: config.scale_max,
            flip: config.flip,
        },
        preprocessing: meta.preprocessing.clone(),
    }
}

/// Whether the run begins at step 0: a new folder, or a run that was stopped before its first checkpoint.
///
/// # Errors
/// A folder with a run that is not to be resumed, and one to be resumed that holds none.
fn starts_fresh(run: &Path, resume: bool) -> Result<bool> {
    let (begun, saved) = (run.join("config.toml").exists(), run.join("checkpoints").exists());
    match (resume, begun, saved) {
        (false, _, true) => Err(Error::usage("the folder already holds a run")
            .at(run)
            .hint("add `resume` to go on, or name another `run`")),
        (true, false, false) => Err(Error::weights("nothing to resume: this is not a run folder")
            .at(run)
            .hint("leave out `resume` to begin")),
        (_, _, saved) => Ok(!saved),
    }
}

/// Creates the run folder if need be and locks it for as long as the result lives.
fn lock_run(run: &Path) -> Result<fs::File> {
    fs::create_dir_all(run).map_err(|e| Error::io("create the run folder", run, &e))?;
    let path = run.join("lock");
    let file = fs::File::create(&path).map_err(|e| Error::io("create the lock file", &path, &e))?;
    file.try_lock().map_err(|_| {
        Error::new(ErrorKind::Io, "another process is training in this folder")
            .at(run)
            .hint("wait for it or stop it, or name another `run`")
    })?;
    Ok(file)
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| Error::io("write", path, &e))
}

fn not_finite(step: u64, loss: f64, norm: f64, rate: f64, ids: &[String]) -> Error {
    Error::new(
        ErrorKind::NonFinite,
        format!(
            "step {step}: the loss is {loss} and the gradient's length {norm} at rate {rate:e}; images: {}",
            ids.join(", ")
        ),
    )
    .hint("no weight was changed and the last checkpoint is intact; lower `lr`, add clip_norm, or look at these images")
}
