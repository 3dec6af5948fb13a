//! What a file or folder is: a weights file, an ONNX file, a TensorFlow checkpoint, a file of PyTorch, a record file, a
//! checkpoint, a run, a data set.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::picture::{Picture, picture};

use fcn_core::export::onnx::{OnnxFile, OnnxValue};
use fcn_core::import;
use fcn_core::network::ModelMeta;
use fcn_core::train::METRICS_FILE;
use fcn_core::train::{Best, verify_checkpoint};
use fcn_core::weights::Contents;
use fcn_core::weights::TensorFile;
use fcn_core::weights::find_weights;
use fcn_core::{Error, Result};
use segdata::dataset::{Dataset, Form};
use segdata::image::preprocessing::Preprocessing;
use segdata::labels::Classes;
use segdata::report::history::{RunHistory, ValidationPoint};

/// What was found at a path.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum Info {
    /// A weights file of this program.
    Weights(Tensors),
    /// A safetensors file without this program's metadata.
    Safetensors(Tensors),
    /// An ONNX file.
    Onnx(Onnx),
    /// A TensorFlow checkpoint.
    #[serde(rename = "tensorflow checkpoint")]
    TensorFlow(Tensors),
    /// A file of `torch.save`.
    PyTorch(Tensors),
    /// A TFRecord file.
    Records(Records),
    /// A run folder.
    Run(Run),
    /// A folder of run folders.
    Runs(Vec<RunLine>),
    /// An image file.
    Picture(Picture),
    /// A folder of photographs and masks, or of records.
    #[serde(rename = "data set")]
    DataSet(DataSet),
}

/// Named tensors.
#[derive(Clone, Debug, Serialize)]
pub struct Tensors {
    /// The file.
    pub file: PathBuf,
    /// In the order of the file.
    pub tensors: Vec<TensorLine>,
    /// Values in all tensors.
    pub parameters: u64,
    /// What the file says about itself; values that are JSON are parsed.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// Multiply-adds of one image of the asked size, where the network is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// How the input of a file that `fcn import` reads must be prepared, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// The network, where the file says which it is. The metadata hold the same.
    #[serde(skip)]
    pub network: Option<ModelMeta>,
}

/// An input convention that a file's metadata do not say.
#[derive(Clone, Debug, Serialize)]
pub struct Input {
    /// The convention.
    pub preprocessing: Preprocessing,
    /// What says so.
    pub told_by: String,
}

/// An ONNX file.
#[derive(Clone, Debug, Serialize)]
pub struct Onnx {
    /// Its constants: weights, and the sizes that nodes need. Where the file says which network it is, the cost is that
    /// network's.
    #[serde(flatten)]
    pub tensors: Tensors,
    /// Program that wrote it, and its version.
    pub producer: String,
    /// Version of each set of operators.
    pub opsets: BTreeMap<String, i64>,
    /// What goes in.
    pub inputs: Vec<OnnxValue>,
    /// What comes out.
    pub outputs: Vec<OnnxValue>,
    /// How many nodes there are of each operator.
    pub operators: BTreeMap<String, usize>,
}

/// One tensor.
#[derive(Clone, Debug, Serialize)]
pub struct TensorLine {
    /// Name.
    pub name: String,
    /// `F32` and the like.
    pub dtype: String,
    /// Extent of each axis.
    pub shape: Vec<usize>,
}

/// What one image costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Height and width of the image in pixels.
    pub size: [usize; 2],
    /// Multiply-adds.
    pub multiply_adds: u64,
    /// Floating point operations: two for each multiply-add.
    pub flops: u64,
}

impl Cost {
    fn new(meta: &ModelMeta, size: [usize; 2]) -> Self {
        let multiply_adds = meta.multiply_adds(size[0], size[1]);
        Cost { size, multiply_adds, flops: 2 * multiply_adds }
    }
}

/// A record file.
#[derive(Clone, Debug, Serialize)]
pub struct Records {
    /// Records in the file.
    pub records: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Features of the first record and what they hold.
    pub features: BTreeMap<String, String>,
}

/// A run folder.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Last logged step.
    pub step: Option<u64>,
    /// Mean IoU of the last validation.
    pub miou: Option<f64>,
    /// Step and mean IoU of the best validation.
    pub best: Option<Best>,
    /// The checkpoints, by step, and whether each verifies.
    pub checkpoints: Vec<CheckpointLine>,
    /// The network of the best checkpoint, or of the last.
    pub weights: Option<Tensors>,
}

/// A run in a folder of several.
#[derive(Clone, Debug, Serialize)]
pub struct RunLine {
    /// Name of its folder.
    pub name: String,
    /// Last logged step.
    pub step: Option<u64>,
    /// Mean IoU of the last validation.
    pub miou: Option<f64>,
    /// Step and mean IoU of the best validation.
    pub best: Option<Best>,
}

/// One checkpoint of a run.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointLine {
    /// Name of the folder.
    pub name: String,
    /// What is wrong with it; `None` where every file has the size and hash of the manifest.
    pub fault: Option<String>,
}

/// A data set.
#[derive(Clone, Debug, Serialize)]
pub struct DataSet {
    /// How it lies on disk.
    pub form: Form,
    /// Names and colours.
    pub classes: Classes,
    /// The splits.
    pub splits: Vec<SplitLine>,
}

/// One split of a data set.
#[derive(Clone, Debug, Serialize)]
pub struct SplitLine {
    /// `train`, `val`, ...
    pub name: String,
    /// Samples it lists.
    pub images: usize,
    /// Problems seen in the lists alone; `fcn check` looks further.
    pub problems: usize,
    /// What distinguishes this split from another.
    pub fingerprint: String,
}

/// Says what lies at `path`. `size` (height, width) is what the cost of a network is told for.
///
/// # Errors
/// What the system refuses, and a file or folder that is none of these.
pub fn describe(path: &Path, classes: Option<&Path>, size: [usize; 2]) -> Result<Info> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    if is_run(path) {
        return run(path, size).map(Info::Run);
    }
    let runs = runs(path)?;
    if !runs.is_empty() {
        return Ok(Info::Runs(runs));
    }
    if path.is_file()
        && let Some(found) = picture(path)?
    {
        return Ok(Info::Picture(found));
    }
    if let Some(file) = find_weights(path).filter(|_| path.is_dir()) {
        return tensors(&file, size);
    }
    let tensorflow = extension == "index" || extension == "ckpt" || sibling(path, ".index").is_file();
    match extension.as_str() {
        "safetensors" => tensors(path, size),
        "onnx" => onnx(path, size).map(Info::Onnx),
        "tfrecord" | "tfrecords" | "record" if path.is_file() => records(path).map(Info::Records),
        _ if tensorflow => foreign(path),
        _ if path.is_file() && TensorFile::open(path).is_ok() => tensors(path, size),
        _ if path.is_file() && OnnxFile::open(path).is_ok() => onnx(path, size).map(Info::Onnx),
        _ if path.is_file() => foreign(path).or_else(|e| data_set(path, classes).map(Info::DataSet).map_err(|_| e)),
        _ => data_set(path, classes).map(Info::DataSet),
    }
}

fn sibling(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(end);
    name.into()
}

fn tensors(path: &Path, size: [usize; 2]) -> Result<Info> {
    let file = TensorFile::open(path)?;
    let lines: Vec<TensorLine> = file
        .tensors()
        .zip(file.dtypes())
        .map(|((name, shape), dtype)| TensorLine { name: name.into(), dtype, shape: shape.to_vec() })
        .collect();
    let Ok(contents) = Contents::from_header(file.metadata()) else { return foreign(path) };
    let network = contents.network().cloned();
    Ok(Info::Weights(Tensors {
        file: path.to_path_buf(),
        parameters: parameters(&lines),
        tensors: lines,
        metadata: parsed_metadata(file.metadata()),
        cost: network.as_ref().map(|meta| Cost::new(meta, size)),
        input: None,
        network,
    }))
}

fn parsed_metadata(texts: &BTreeMap<String, String>) -> BTreeMap<String, serde_json::Value> {
    // Parsed, two bytes can take thirty; a network's longest value is its palette.
    const MAX_PARSED_BYTES: usize = 64 << 10;
    let parsed = |text: &String| match text.len() <= MAX_PARSED_BYTES {
        true => serde_json::from_str(text).unwrap_or_else(|_| text.clone().into()),
        false => text.clone().into(),
    };
    texts.iter().map(|(key, text)| (key.clone(), parsed(text))).collect()
}

fn onnx(path: &Path, size: [usize; 2]) -> Result<Onnx> {
    let file = OnnxFile::open(path)?;
    let lines: Vec<TensorLine> = (file.tensors.into_iter())
        .map(|tensor| TensorLine { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape })
        .collect();
    let network = ModelMeta::from_header(&file.metadata).ok();
    Ok(Onnx {
        tensors: Tensors {
            file: path.to_path_buf(),
            parameters: parameters(&lines),
            tensors: lines,
            metadata: parsed_metadata(&file.metadata),
            cost: network.as_ref().map(|meta| Cost::new(meta, size)),
            input: None,
            network,
        },
        producer: file.producer,
        opsets: file.opsets,
        inputs: file.inputs,
        outputs: file.outputs,
        operators: file.operators,
    })
}

fn parameters(tensors: &[TensorLine]) -> u64 {
    let values = |t: &TensorLine| t.shape.iter().fold(1u64, |values, &side| values.saturating_mul(side as u64));
    tensors.iter().fold(0, |sum, tensor| sum.saturating_add(values(tensor)))
}

/// A file that `fcn import` reads: its tensors, and what else is known without reading them.
fn foreign(path: &Path) -> Result<Info> {
    let found = import::inspect(path)?;
    let tensors: Vec<TensorLine> =
        found.tensors.into_iter().map(|(name, dtype, shape)| TensorLine { name, dtype, shape }).collect();
    let mut metadata = parsed_metadata(&found.metadata);
    metadata.extend(found.notes.into_iter().map(|(key, words)| (key, words.into())));
    metadata.insert("container".into(), found.format.into());
    metadata.insert("names".into(), found.names.into());
    let tensors = Tensors {
        file: path.to_path_buf(),
        parameters: parameters(&tensors),
        tensors,
        metadata,
        cost: None,
        input: found.preprocessing.map(|(preprocessing, told_by)| Input { preprocessing, told_by }),
        network: None,
    };
    Ok(match found.format {
        "safetensors" => Info::Safetensors(tensors),
        format if format.starts_with("TensorFlow") => Info::TensorFlow(tensors),
        _ => Info::PyTorch(tensors),
    })
}

fn records(path: &Path) -> Result<Records> {
    /// A hundred photographs with their masks: what a file may make this hold at once.
    const LIMITS: tfio::Limits = tfio::Limits { max_record_bytes: 24 << 20 };
    let fault = |e: tfio::RecordError| Error::data(e.to_string()).at(path);
    let io = |e: std::io::Error| Error::io("read the record file", path, &e);
    let file = File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    let mut reader = tfio::RecordReader::with_limits(BufReader::new(file), LIMITS);
    let mut found = Records { records: 0, bytes, features: BTreeMap::new() };
    let mut data = Vec::new();
    while reader.read_into(&mut data).map_err(fault)?.is_some() {
        if found.records == 0 {
            let example = tfio::Example::decode(&data).map_err(|e| Error::data(e.to_string()).at(path))?;
            let line = |(key, feature): (&str, &tfio::Feature)| (key.to_string(), feature_summary(feature));
            found.features = example.features().map(line).collect();
        }
        found.records += 1;
    }
    Ok(found)
}

fn feature_summary(feature: &tfio::Feature) -> String {
    const SHOWN: usize = 40;
    match feature {
        tfio::Feature::Bytes(list) => match list.first() {
            Some(bytes) if bytes.len() <= SHOWN && bytes.iter().all(|b| (32..127).contains(b)) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            Some(bytes) => format!("{} bytes", bytes.len()),
            None => "empty".into(),
        },
        tfio::Feature::Int64(list) => list.iter().take(4).map(i64::to_string).collect::<Vec<_>>().join(", "),
        tfio::Feature::Float(list) => list.iter().take(4).map(f32::to_string).collect::<Vec<_>>().join(", "),
        tfio::Feature::Unset => "unset".into(),
    }
}

fn is_run(path: &Path) -> bool {
    path.is_dir() && ["config.toml", METRICS_FILE, "checkpoints"].iter().any(|file| path.join(file).exists())
}

/// The runs in a folder, by name.
fn runs(path: &Path) -> Result<Vec<RunLine>> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_run(path)).collect();
    folders.sort();
    folders
        .iter()
        .map(|folder| {
            let history = RunHistory::read(&folder.join(METRICS_FILE))?;
            Ok(RunLine {
                name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                step: history.last_step.map(|p| p.step as u64),
                miou: history.validations.last().and_then(|v| v.miou),
                best: best(&history),
            })
        })
        .collect()
}

fn best(history: &RunHistory) -> Option<Best> {
    let best = ValidationPoint::best(&history.validations)?;
    Some(Best { step: best.step, miou: best.miou? })
}

fn run(path: &Path, size: [usize; 2]) -> Result<Run> {
    let history = RunHistory::read(&path.join(METRICS_FILE))?;
    let mut checkpoints: Vec<CheckpointLine> = Vec::new();
    let folder = path.join("checkpoints");
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("step-") {
            let fault = verify_checkpoint(&entry.path()).err().map(|e| e.to_string());
            checkpoints.push(CheckpointLine { name, fault });
        }
    }
    checkpoints.sort_by(|a, b| a.name.cmp(&b.name));
    let weights = match find_weights(path).map(|file| tensors(&file, size)) {
        Some(Ok(Info::Weights(found) | Info::Safetensors(found))) => Some(found),
        _ => None,
    };
    Ok(Run {
        step: history.last_step.map(|p| p.step as u64),
        miou: history.validations.last().and_then(|v| v.miou),
        best: best(&history),
        checkpoints,
        weights,
    })
}

fn data_set(path: &Path, classes: Option<&Path>) -> Result<DataSet> {
    // The seed moves only images of folders without lists between the splits; their number stays.
    let set = Dataset::open(path, classes)?;
    let mut splits = Vec::new();
    for name in set.splits() {
        let split = set.split_as_listed(&name)?;
        splits.push(SplitLine {
            images: split.len(),
            problems: split.faults().len(),
            fingerprint: split.fingerprint(),
            name,
        });
    }
    Ok(DataSet { form: set.form, classes: set.classes, splits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fcn_core::device::Device;
    use fcn_core::network::{Backbone, FcnSpec, Geometry, TrunkShape, Variant};
    use fcn_core::network::{Network, NetworkOptions};
    use fcn_core::weights::{self};

    fn small() -> Network {
        let meta = ModelMeta::fcn(
            FcnSpec {
                variant: Variant::Fcn8s,
                backbone: Backbone::Vgg16,
                width: 1.0 / 64.0,
                trunk: TrunkShape::default(),
                geometry: Geometry::Same,
            },
            Classes::named(["a", "b"]),
            Preprocessing::default(),
        );
        Network::init(meta, &NetworkOptions::default(), 0, &Device::flex())
    }

    #[test]
    fn a_weights_file_is_described_with_the_keys_scripts_rely_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let fcn = small();
        weights::save(&path, &fcn).unwrap();
        let info = serde_json::to_value(describe(&path, None, [224, 224]).unwrap()).unwrap();
        assert_eq!(info["format"], "weights");
        let values: usize = fcn.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
        assert_eq!(info["parameters"], values);
        assert_eq!(info["metadata"]["classes"][1], "b");
        assert_eq!(info["metadata"]["preprocessing"]["channels"], "RGB");
        assert_eq!(info["tensors"].as_array().unwrap().len(), fcn.parameters().len());
        assert_eq!(info["tensors"][0]["dtype"], "F32");
        assert!(info["cost"]["multiply_adds"].as_u64().unwrap() > 0);
    }

    #[test]
    fn a_run_folder_is_told_by_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = "{\"kind\":\"step\",\"step\":10,\"loss\":1.0}\n{\"kind\":\"validation\",\"step\":10,\"miou\":0.5}\n\
                   {\"kind\":\"validation\",\"step\":20,\"miou\":0.4}\n";
        std::fs::write(folder.path().join(METRICS_FILE), log).unwrap();
        std::fs::create_dir_all(folder.path().join("checkpoints/step-00000010")).unwrap();
        let Info::Run(run) = describe(folder.path(), None, [224, 224]).unwrap() else { panic!("not a run") };
        assert_eq!((run.step, run.miou), (Some(10), Some(0.4)));
        assert_eq!(run.best.map(|b| b.step), Some(10));
        assert!(run.checkpoints[0].fault.is_some(), "an empty checkpoint does not verify");
    }

    #[test]
    fn a_record_file_shows_its_first_features() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tfrecord");
        let mut writer = tfio::RecordWriter::new(File::create(&path).unwrap());
        for i in 0..3 {
            let example =
                tfio::Example::new().with_int64("image/height", i).with_bytes("image/format", b"jpeg".to_vec());
            writer.write(&example.encode()).unwrap();
        }
        writer.flush().unwrap();
        let Info::Records(found) = describe(&path, None, [1, 1]).unwrap() else { panic!("not records") };
        assert_eq!(found.records, 3);
        assert_eq!(found.features["image/format"], "jpeg");
        assert_eq!(found.features["image/height"], "0");
    }

    #[test]
    fn what_is_nothing_of_these_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        std::fs::write(&path, b"hello").unwrap();
        for path in [path, folder.path().to_path_buf(), folder.path().join("absent")] {
            assert!(describe(&path, None, [1, 1]).is_err(), "{}", path.display());
        }
    }
}
