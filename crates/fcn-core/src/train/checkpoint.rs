//! Checkpoints that survive anything: written beside, verified, renamed, and only then is an older one removed.
//!
//! `checkpoints/step-00001300/` holds `weights.safetensors`, `optim.safetensors`, `state.json` and, written last,
//! `MANIFEST.json` with the size and BLAKE3 of each. Everything goes into a temporary sibling first; each file is
//! flushed to the disk, the folder too; then it gets its name. A folder whose manifest does not verify is no checkpoint:
//! resuming passes over it, with the reason, to the newest that does. Beside `checkpoints/`, the links `last` and `best`
//! name the newest one and the one with the highest validation mIoU.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::train::optim::{Optimizer, OptimizerOptions};
use crate::weights;
use crate::weights::manifest::{FORMAT_VERSION, MANIFEST, Manifest, WEIGHTS};
use crate::weights::manifest::{entry, hash, read_json, read_manifest, to_json, verify_file};
use crate::weights::tensor_file::{NamedValues, TensorFile, Values, write_tensors};
use crate::{Error, Result};
use segdata::files::write::{sync_folder, write_bytes_atomically};

/// Version of the rule that maps seed and step to samples and crops. Another one would not continue the same run.
pub const SAMPLER_VERSION: u32 = 1;

const OPTIM: &str = "optim.safetensors";
const STATE: &str = "state.json";

/// The best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The step it was at.
    pub step: u64,
    /// Its mean IoU, 0 to 1.
    pub miou: f64,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Updates done.
    pub step: u64,
    /// Times the whole training split was seen.
    pub epoch: u64,
    /// Images seen in all; with the seed it decides everything that comes next.
    pub position: u64,
    /// Seed of the run.
    pub seed: u64,
    /// See [`SAMPLER_VERSION`].
    pub sampler_version: u32,
    /// Updates the optimiser has done.
    pub updates: u64,
    /// Step of the last validation that was finished.
    pub validated: Option<u64>,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Fingerprint of the training split.
    pub data_fingerprint: String,
}

/// A run folder's checkpoints.
pub struct Checkpoints {
    run: PathBuf,
    keep: usize,
    keep_bytes: u64,
    config_hash: String,
}

/// A checkpoint that verified, and those that did not, with the reason.
pub struct Found {
    /// The folder.
    pub path: PathBuf,
    /// Its state.
    pub state: State,
    /// Newer folders passed over, and why.
    pub passed_over: Vec<(PathBuf, String)>,
}

impl Checkpoints {
    /// The checkpoints of `run`, of which the newest `keep`, of at most `keep_bytes` bytes where that is not 0, and the best
    /// are kept. `config` is the effective
    /// configuration as it is saved in the run folder.
    pub fn new(run: &Path, keep: usize, keep_bytes: u64, config: &str) -> Self {
        Checkpoints { run: run.to_path_buf(), keep, keep_bytes, config_hash: hash(config.as_bytes()) }
    }

    fn folder(&self) -> PathBuf {
        self.run.join("checkpoints")
    }

    /// Saves everything a run needs to go on, then rotates. Returns the folder.
    ///
    /// # Errors
    /// A refusal by the system; earlier checkpoints are intact then. Weights that are not finite are never written.
    pub fn save(&self, fcn: &Network, optimizer: &Optimizer, state: &State) -> Result<PathBuf> {
        let folder = self.folder();
        create_dir(&folder)?;
        let name = format!("step-{:08}", state.step);
        let target = folder.join(&name);
        let temporary = folder.join(format!(".tmp-{name}"));
        remove_dir(&temporary)?;
        create_dir(&temporary)?;

        weights::save(&temporary.join(WEIGHTS), fcn)?;
        let moments = optimizer.tensors(fcn).map(|(name, moment)| NamedValues {
            name,
            shape: moment.dims().to_vec(),
            values: Values::Tensor(moment),
        });
        write_tensors(&temporary.join(OPTIM), &BTreeMap::new(), moments.collect())?;
        write_json(&temporary.join(STATE), state)?;
        let mut files = BTreeMap::new();
        for file in [WEIGHTS, OPTIM, STATE] {
            files.insert(file.to_string(), entry(&temporary.join(file))?);
        }
        let mut manifest = Manifest {
            format_version: FORMAT_VERSION,
            program_version: env!("CARGO_PKG_VERSION").to_string(),
            step: state.step,
            config_hash: self.config_hash.clone(),
            classes_hash: hash(&to_json(&fcn.meta.classes)?),
            files,
            blake3: String::new(),
        };
        manifest.blake3 = manifest.own_hash()?;
        write_json(&temporary.join(MANIFEST), &manifest)?;
        sync_folder(&temporary)?;

        // A folder of the same name is an earlier save of the same step (a resumed run that repeats it, or a broken
        // one): move it aside first, since a rename cannot replace a folder that is not empty.
        let aside = folder.join(format!(".tmp-old-{name}"));
        remove_dir(&aside)?;
        if target.exists() {
            rename(&target, &aside)?;
        }
        rename(&temporary, &target)?;
        sync_folder(&folder)?;
        remove_dir(&aside)?;

        self.link("last", &name)?;
        if let Some(best) = state.best.filter(|best| best.step == state.step) {
            self.link("best", &format!("step-{:08}", best.step))?;
        }
        self.rotate(state)?;
        Ok(target)
    }

    /// Removes all but the newest ones that are to be kept and the best, and what broken saves left behind.
    fn rotate(&self, state: &State) -> Result<()> {
        let best = state.best.map(|best| best.step);
        let steps = self.steps()?;
        // Folders beyond the step just saved belong to a future that this run has left.
        let newest = steps.iter().copied().filter(|&step| step <= state.step).rev().take(self.keep);
        let mut bytes = 0;
        let kept: Vec<u64> = newest
            .take_while(|&step| {
                bytes += bytes_in(&self.of_step(step));
                self.keep_bytes == 0 || bytes <= self.keep_bytes || step == state.step
            })
            .collect();
        for step in steps {
            if !kept.contains(&step) && Some(step) != best {
                remove_dir(&self.of_step(step))?;
            }
        }
        for name in names(&self.folder())? {
            if name.starts_with(".tmp-") {
                remove_dir(&self.folder().join(name))?;
            }
        }
        Ok(())
    }

    fn of_step(&self, step: u64) -> PathBuf {
        self.folder().join(format!("step-{step:08}"))
    }

    /// Steps that have a folder, in rising order.
    fn steps(&self) -> Result<Vec<u64>> {
        let names = names(&self.folder())?;
        let mut steps: Vec<u64> = names.iter().filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest checkpoint that verifies.
    ///
    /// # Errors
    /// No checkpoint at all, or none that verifies: every one is listed with its fault.
    pub fn newest(&self) -> Result<Found> {
        let mut passed_over = Vec::new();
        self.finish_interrupted_replacements()?;
        for step in self.steps()?.into_iter().rev() {
            let path = self.of_step(step);
            match verify_checkpoint(&path).and_then(|_| read_state(&path)) {
                Ok(state) => return Ok(Found { path, state, passed_over }),
                Err(error) => passed_over.push((path, error.message)),
            }
        }
        let mut message = "nothing to resume: no checkpoint verifies".to_string();
        for (path, fault) in &passed_over {
            message.push_str(&format!("; {}: {fault}", path.display()));
        }
        Err(Error::weights(message).at(&self.run).hint("start the run anew in an empty folder, or name another `run`"))
    }

    /// A crash between the two renames of a replacement leaves the old folder aside under its temporary name and none
    /// under its own: give it its name back.
    fn finish_interrupted_replacements(&self) -> Result<()> {
        for name in names(&self.folder())? {
            if let Some(original) = name.strip_prefix(".tmp-old-") {
                let target = self.folder().join(original);
                if !target.exists() {
                    rename(&self.folder().join(&name), &target)?;
                }
            }
        }
        Ok(())
    }

    /// Points `run/name` at a checkpoint, replacing an older link at once.
    fn link(&self, name: &str, checkpoint: &str) -> Result<()> {
        let link = self.run.join(name);
        let temporary = self.run.join(format!(".tmp-{name}"));
        let _ = fs::remove_file(&temporary);
        let target = Path::new("checkpoints").join(checkpoint);
        #[cfg(unix)]
        let made = std::os::unix::fs::symlink(&target, &temporary);
        #[cfg(not(unix))]
        let made = fs::write(&temporary, target.to_string_lossy().as_bytes());
        made.map_err(|e| Error::io("link to the checkpoint", &temporary, &e))?;
        rename(&temporary, &link)
    }
}

/// Puts a checkpoint back: the network ready for training, and its optimiser.
///
/// # Errors
/// Files that cannot be read or do not fit together.
pub fn load(path: &Path, state: &State, options: OptimizerOptions, device: &Device) -> Result<(Network, Optimizer)> {
    let fcn = weights::load(&path.join(WEIGHTS), device)?;
    let mut optimizer = Optimizer::new(options, &fcn);
    let moments = TensorFile::open(&path.join(OPTIM))?;
    optimizer.restore(&fcn, state.updates, |name, len| {
        let values = moments.read(name)?;
        match values.len() == len {
            true => Ok(values),
            false => {
                let found = values.len();
                Err(Error::weights(format!("{OPTIM}: {name} has {found} values, expected {len}")).at(path))
            }
        }
    })?;
    Ok((fcn, optimizer))
}

/// Checks the manifest of a checkpoint and every file against it.
///
/// # Errors
/// The first fault, by file: missing, of another size, of another hash, or of a newer format.
pub fn verify_checkpoint(path: &Path) -> Result<Manifest> {
    let manifest = read_manifest(path)?;
    for file in [WEIGHTS, OPTIM, STATE] {
        verify_file(path, &manifest, file)?;
    }
    Ok(manifest)
}

fn read_state(path: &Path) -> Result<State> {
    let state: State = read_json(&path.join(STATE))?;
    if state.sampler_version != SAMPLER_VERSION {
        let found = state.sampler_version;
        return Err(Error::weights(format!("sampler version {found}, this program has {SAMPLER_VERSION}")).at(path));
    }
    Ok(state)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list the checkpoints", folder, &e)),
    };
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Bytes of the files in `folder`.
pub(super) fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io("create the folder", path, &e))
}

fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove the folder", path, &e)),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::io("rename to", to, &e))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_bytes_atomically(path, &to_json(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NetworkOptions;
    use crate::network::{Backbone, Geometry, ModelMeta, Variant};
    use crate::train::optim::OptimizerKind;
    use crate::weights::{find_weights, weights_file};

    fn network() -> (Network, Optimizer) {
        let meta = ModelMeta::narrow(Variant::Fcn32s, Backbone::Vgg16, Geometry::Same, &["background", "thing"]);
        let fcn = Network::init(meta, &NetworkOptions::default(), 0, &Device::flex());
        let optimizer = Optimizer::new(options(), &fcn);
        (fcn, optimizer)
    }

    fn options() -> OptimizerOptions {
        OptimizerOptions {
            kind: OptimizerKind::Adam,
            momentum: 0.9,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            bias_rate: 1.0,
        }
    }

    fn state(step: u64, best: Option<Best>) -> State {
        State {
            step,
            epoch: 0,
            position: 2 * step,
            seed: 0,
            sampler_version: SAMPLER_VERSION,
            updates: step,
            validated: None,
            best,
            data_fingerprint: String::new(),
        }
    }

    #[test]
    fn the_newest_and_the_best_are_kept_and_the_links_name_them() {
        let run = tempfile::tempdir().unwrap();
        let (fcn, optimizer) = network();
        let checkpoints = Checkpoints::new(run.path(), 2, 0, "");
        let best = Some(Best { step: 10, miou: 0.5 });
        for step in [10, 20, 30, 40] {
            checkpoints.save(&fcn, &optimizer, &state(step, best)).unwrap();
        }
        assert_eq!(checkpoints.steps().unwrap(), [10, 30, 40]);
        let target = |name: &str| fs::canonicalize(run.path().join(name)).unwrap();
        assert!(target("last").ends_with("step-00000040"));
        assert!(target("best").ends_with("step-00000010"));
        assert!(weights_file(run.path()).unwrap().starts_with(run.path().join("best")));
    }

    #[test]
    fn links_written_as_text_are_read_everywhere() {
        let run = tempfile::tempdir().unwrap();
        let (fcn, optimizer) = network();
        let best = Some(Best { step: 10, miou: 0.5 });
        let checkpoints = Checkpoints::new(run.path(), 2, 0, "");
        for step in [10, 20] {
            checkpoints.save(&fcn, &optimizer, &state(step, best)).unwrap();
        }
        let write = |name: &str, text: &str| {
            let _ = fs::remove_file(run.path().join(name));
            fs::write(run.path().join(name), text).unwrap();
        };
        let of_step = |step: &str| Some(run.path().join("checkpoints").join(step).join(WEIGHTS));
        write("last", "checkpoints/step-00000020");
        for (text, step) in [
            ("checkpoints/step-00000010", "step-00000010"),
            ("checkpoints\\step-00000010\n", "step-00000010"),
            ("checkpoints/../checkpoints/step-00000010", "step-00000020"),
            ("/etc", "step-00000020"),
            ("", "step-00000020"),
        ] {
            write("best", text);
            assert_eq!(find_weights(run.path()), of_step(step), "{text:?}");
            assert_eq!(weights_file(run.path()).ok(), of_step(step), "{text:?}");
        }
        assert_eq!(find_weights(&run.path().join("last")), of_step("step-00000020"), "the link itself");
        for name in ["best", "last"] {
            fs::remove_file(run.path().join(name)).unwrap();
        }
        assert_eq!(find_weights(run.path()), of_step("step-00000020"), "a run that was copied without its links");
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let run = tempfile::tempdir().unwrap();
        let (fcn, optimizer) = network();
        let checkpoints = Checkpoints::new(run.path(), 2, 0, "");
        checkpoints.save(&fcn, &optimizer, &state(7, None)).unwrap();
        let found = checkpoints.newest().unwrap();
        assert_eq!(found.state, state(7, None));
        let (loaded, optimizer) = load(&found.path, &found.state, options(), &Device::flex()).unwrap();
        assert_eq!(loaded.meta, fcn.meta);
        assert_eq!(optimizer.updates(), 7);
        for (a, b) in loaded.parameters().iter().zip(fcn.parameters()) {
            assert_eq!(a.name, b.name);
            assert_eq!(a.tensor.to_data(), b.tensor.to_data(), "{}", a.name);
        }
    }

    #[test]
    fn every_fault_is_found_and_the_one_before_taken() {
        let run = tempfile::tempdir().unwrap();
        let (fcn, optimizer) = network();
        let checkpoints = Checkpoints::new(run.path(), 2, 0, "");
        checkpoints.save(&fcn, &optimizer, &state(1, None)).unwrap();
        let newest = checkpoints.save(&fcn, &optimizer, &state(2, None)).unwrap();
        for file in [WEIGHTS, OPTIM, STATE, MANIFEST] {
            let path = newest.join(file);
            let whole = fs::read(&path).unwrap();
            let mut flipped = whole.clone();
            flipped[whole.len() / 3] ^= 4;
            for damaged in [&flipped[..], &whole[..whole.len() - 1], &[]] {
                fs::write(&path, damaged).unwrap();
                let found = checkpoints.newest().unwrap();
                assert_eq!(found.state.step, 1, "{file} with {} of {} bytes", damaged.len(), whole.len());
                assert_eq!(found.passed_over.len(), 1, "{file}");
            }
            fs::remove_file(&path).unwrap();
            assert_eq!(checkpoints.newest().unwrap().state.step, 1, "{file} missing");
            fs::write(&path, whole).unwrap();
        }
        assert_eq!(checkpoints.newest().unwrap().state.step, 2);
    }

    #[test]
    fn a_replacement_cut_short_between_its_renames_is_finished() {
        let run = tempfile::tempdir().unwrap();
        let (fcn, optimizer) = network();
        let checkpoints = Checkpoints::new(run.path(), 2, 0, "");
        let saved = checkpoints.save(&fcn, &optimizer, &state(5, None)).unwrap();
        fs::rename(&saved, saved.with_file_name(".tmp-old-step-00000005")).unwrap();
        assert_eq!(checkpoints.newest().unwrap().state.step, 5);
    }

    #[test]
    fn nothing_to_resume_says_so() {
        let run = tempfile::tempdir().unwrap();
        fs::create_dir_all(run.path().join("checkpoints/.tmp-step-00000001")).unwrap();
        let error = Checkpoints::new(run.path(), 2, 0, "").newest().err().unwrap();
        assert_eq!(error.kind, crate::ErrorKind::Weights);
        assert!(error.message.contains("nothing to resume"), "{}", error.message);
    }
}
