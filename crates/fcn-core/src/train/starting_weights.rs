//! Weights that a run starts from: a file of this program, a run folder, or anything that can be imported, which is
//! then converted once and kept beside its source.

use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};

use crate::import::{Convention, IMPORT_VERSION, ImportOptions, import};
use crate::network::parameter::{belongs_to_classes, layer_of};
use crate::network::{Architecture, Geometry, ModelMeta, Network, ParameterKind, TrunkMeta};
use crate::weights::manifest::weights_file;
use crate::weights::tensor_file::TensorFile;
use crate::weights::{Contents, refuse_not_finite};
use crate::{Error, ErrorKind, Result};
use segdata::files::read as file;
use segdata::image::preprocessing::Preprocessing;

/// Digits of a source's hash in the name of its conversion.
const HASH_DIGITS: usize = 16;

/// An open file of weights to start from.
pub struct StartingWeights {
    path: PathBuf,
    contents: Contents,
    file: TensorFile,
}

/// What a network took from the weights it starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Layers that start anew, in their order.
    pub fresh: Vec<String>,
    /// Layers of the weights that the network has no place for.
    pub unused: Vec<String>,
}

impl StartingWeights {
    /// Opens what `path` names: a weights file, a checkpoint or run folder, or a file that can be imported. A conversion
    /// is kept beside its source, or in `run` where that folder takes no file; its name holds the source's hash, so
    /// that another file under the same name is converted anew. `emit` gets a line about it.
    ///
    /// # Errors
    /// Those of the reader and of the import.
    pub fn open(path: &Path, run: &Path, emit: &mut dyn FnMut(String)) -> Result<StartingWeights> {
        let path = &weights_file(path)?;
        let own = |path: &Path| -> Result<StartingWeights> {
            let file = TensorFile::open(path)?;
            let contents = Contents::from_header(file.metadata()).map_err(|e| e.at(path))?;
            Ok(StartingWeights { path: path.to_path_buf(), contents, file })
        };
        if is_own(path) {
            return own(path);
        }
        let name = conversion_name(path)?;
        let beside = path.with_file_name(&name);
        let inside = run.join(&name);
        // A conversion that is damaged is made anew.
        for kept in [&beside, &inside] {
            if kept.is_file()
                && let Ok(found) = own(kept)
            {
                emit(format!("starting from {}, imported before from {}", kept.display(), path.display()));
                return Ok(found);
            }
        }
        let options = ImportOptions::default();
        // What is left open can only be said to `import`.
        let explained = |e: Error| match e.kind == crate::ErrorKind::Usage {
            true => e.hint(format!(
                "import it once, and start from that: `import {} out WEIGHTS.safetensors input_convention {}`",
                path.display(),
                Convention::words().replace(", ", "|")
            )),
            false => e,
        };
        let (kept, report) = match import(path, &beside, &options) {
            Ok(report) => (beside, report),
            // The source is not at fault, but the folder it lies in.
            Err(e) if e.kind == crate::ErrorKind::Io && path.exists() => {
                (inside.clone(), import(path, &inside, &options).map_err(explained)?)
            }
            Err(e) => return Err(explained(e)),
        };
        emit(format!(
            "imported {} ({}, {}) as {}; input convention: {}",
            path.display(),
            report.format,
            report.names,
            kept.display(),
            report.preprocessing_from
        ));
        report.remarks.into_iter().for_each(emit);
        own(&kept)
    }

    /// The trunk that the weights have, if they have one that can be had alone.
    pub fn trunk(&self) -> Option<TrunkMeta> {
        self.contents.trunk()
    }

    /// How their input is prepared.
    pub fn preprocessing(&self) -> &Preprocessing {
        self.contents.preprocessing()
    }

    /// The border treatment that they were trained with; `None` for a trunk, and for a network that has but one.
    pub fn geometry(&self) -> Option<Geometry> {
        Some(self.contents.network()?.as_fcn()?.geometry)
    }

    /// Refuses a network of another family, or whose trunk is another one.
    ///
    /// # Errors
    /// Another family, another backbone or other channels.
    pub fn refuse_another_trunk(&self, meta: &ModelMeta) -> Result<()> {
        let refused = |own: String, wanted: String, remedy: String| {
            Err(Error::weights(format!("the weights to start from have the {own}; the network to train has {wanted}"))
                .at(&self.path)
                .hint(remedy))
        };
        match (self.trunk(), &meta.architecture) {
            (Some(own), Architecture::Fcn(spec)) if own.backbone == spec.backbone && own.width == spec.width => Ok(()),
            (Some(own), Architecture::Fcn(spec)) => refused(
                format!("trunk {} at width {}", own.backbone.word(), own.width),
                format!("{} at width {}", spec.backbone.word(), spec.width),
                format!("train with `backbone` {} `width` {}", own.backbone.word(), own.width),
            ),
            (None, wanted) if self.contents.network().is_some_and(|own| own.architecture == *wanted) => Ok(()),
            (own, wanted) => {
                let own = match (own, self.contents.network()) {
                    (None, Some(own)) => format!("{} at width {}", own.architecture.title(), own.architecture.width()),
                    (Some(own), _) => format!("trunk {} of an FCN", own.backbone.word()),
                    (None, None) => "trunk of an FCN".to_string(),
                };
                let wanted = format!("{} at width {}", wanted.title(), wanted.width());
                refused(own, wanted, "give `model` and `width` of the weights".to_string())
            }
        }
    }

    /// Gives `fcn` every parameter whose name and shape fit; of layers with an axis along the classes only where the
    /// classes have the same names in the same order.
    ///
    /// # Errors
    /// A value that is not finite, or what the system refuses.
    pub fn adopt(self, fcn: &mut Network) -> Result<Adopted> {
        let same_classes = self.contents.network().is_some_and(|meta| meta.classes.names == fcn.meta.classes.names);
        let table: Vec<(String, Vec<usize>)> =
            self.file.tensors().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
        let mut adopted = Adopted::default();
        let (device, upsampling) = (fcn.device(), fcn.options.trainable_upsampling);
        for parameter in fcn.parameters_mut() {
            let fits = table.iter().any(|(name, shape)| *name == parameter.name && *shape == parameter.shape);
            if fits && (same_classes || !belongs_to_classes(&parameter.name)) {
                let values = self.file.read(&parameter.name)?;
                refuse_not_finite(&parameter.name, &values).map_err(|e| e.at(&self.path))?;
                let count = values.len();
                parameter.tensor = Tensor::from_data(TensorData::new(values, [count]), &device);
            } else if parameter.kind != ParameterKind::Upsampling || parameter.kind.trainable(upsampling) {
                push_layer(&mut adopted.fresh, &parameter.name);
            }
        }
        for (name, _) in &table {
            if !fcn.parameters().iter().any(|parameter| parameter.name == *name) {
                push_layer(&mut adopted.unused, name);
            }
        }
        Ok(adopted)
    }
}

/// Adds the layer of a parameter, once.
fn push_layer(layers: &mut Vec<String>, parameter: &str) {
    let layer = layer_of(parameter);
    if layers.last().map(String::as_str) != Some(layer) {
        layers.push(layer.to_string());
    }
}

/// Whether a file says of itself all that a weights file of this program says.
fn is_own(path: &Path) -> bool {
    path.is_file() && TensorFile::open(path).is_ok_and(|file| Contents::from_header(file.metadata()).is_ok())
}

/// The file name of a source's conversion. It changes with the source's content and name, both of which decide what an
/// import gives.
fn conversion_name(path: &Path) -> Result<String> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&IMPORT_VERSION.to_le_bytes()).update(name.as_bytes());
    for part in parts(path)? {
        let io = |e: std::io::Error| Error::io("read", &part, &e);
        let mut file = file::open(ErrorKind::Weights, "the file of weights", &part)?;
        file::each_block(&mut file, |block| {
            hasher.update_rayon(block);
        })
        .map_err(io)?;
    }
    Ok(format!("{name}.{}.safetensors", &hasher.finalize().to_hex()[..HASH_DIGITS]))
}

/// The files of which a source consists: of a TensorFlow V2 checkpoint its index and data files.
fn parts(path: &Path) -> Result<Vec<PathBuf>> {
    let prefix =
        if path.extension().is_some_and(|e| e == "index") { path.with_extension("") } else { path.to_path_buf() };
    let with = |end: &str| {
        let mut name = prefix.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let index = with(".index");
    if (prefix == path && path.exists()) || !index.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let start = prefix.file_name().map(|name| format!("{}.data-", name.to_string_lossy())).unwrap_or_default();
    let folder = prefix.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io("list the folder", folder, &e))?;
    let mut data: Vec<PathBuf> =
        entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(&start)).map(|e| e.path()).collect();
    data.sort();
    data.insert(0, index);
    Ok(data)
}
