//! TensorBoard event files: scalars, pictures, text and settings over the steps of a run, write only.
//!
//! An event file is a TFRecord file of `Event` messages; the first says `brain.Event:2`. TensorBoard reads every file
//! in a folder whose name contains `tfevents`, in the order of their names, and treats them as one history. Files are
//! therefore only ever added: a run that is resumed opens a new one.
//!
//! Source: `tensorflow/core/util/event.proto`, `tensorflow/core/framework/summary.proto`. Scalars and images use the
//! fields of the first TensorBoard (`simple_value`, `image`), which every version reads. Not implemented: histograms,
//! audio, graphs.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Instant;

use prost::Message;
use thiserror::Error;

use crate::record::{RecordError, RecordWriter};

/// `DT_FLOAT` and `DT_STRING` of `tensorflow/core/framework/types.proto`.
const DT_FLOAT: i32 = 1;
const DT_STRING: i32 = 7;
/// `SessionLog.START` of `event.proto`.
const SESSION_START: i32 = 1;
/// `DATA_CLASS_TENSOR` of `summary.proto`.
const DATA_CLASS_TENSOR: i32 = 2;

/// Why an event could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EventError {
    /// The folder or the file could not be created.
    #[error("cannot create the event file {}: {source}", path.display())]
    Create {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An event could not be appended.
    #[error("event file {}: {source}", path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// What went wrong, and where.
        source: RecordError,
    },
}

/// Appends events to one new file. Events reach the disk at [`flush`](Self::flush) and when the writer is dropped.
#[derive(Debug)]
pub struct EventWriter {
    records: RecordWriter<BufWriter<File>>,
    path: PathBuf,
    created: Instant,
    wall_time_secs: f64,
}

impl EventWriter {
    /// Creates `dir` if need be, and in it the file `events.out.tfevents.<seconds>.<n><suffix>`, where `n` is the
    /// first number that is free: an existing file is never touched.
    ///
    /// `wall_time_secs` is the time now in seconds since 1970 (UTC); later events add what has elapsed since. `suffix`
    /// distinguishes the files of several writers, for example `".validation"`; it may be empty.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn create(dir: &Path, wall_time_secs: f64, suffix: &str) -> Result<Self, EventError> {
        let failed = |path: &Path, source| EventError::Create { path: path.to_path_buf(), source };
        fs::create_dir_all(dir).map_err(|source| failed(dir, source))?;
        let mut number = 0u64;
        let (file, path) = loop {
            // Ten digits keep the order of names the order of time until the year 2286.
            let path = dir.join(format!("events.out.tfevents.{:010}.{number}{suffix}", wall_time_secs as u64));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => break (file, path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(failed(&path, source)),
            }
        };
        let records = RecordWriter::new(BufWriter::new(file));
        let mut writer = Self { records, path, created: Instant::now(), wall_time_secs };
        writer.append(Event { file_version: Some("brain.Event:2".to_string()), ..Event::default() })?;
        Ok(writer)
    }

    /// Records that a run was resumed at `step`: TensorBoard drops events of that step and later steps in earlier
    /// files. Call it before the first event.
    ///
    /// # Errors
    /// [`EventError::Append`].
    pub fn resume_at(&mut self, step: i64) -> Result<(), EventError> {
        let session_log = Some(SessionLog { status: SESSION_START });
        self.append(Event { step, session_log, ..Event::default() })
    }

    /// Adds one point to the curve `tag`. A slash in the tag groups curves, as in `validation/miou`.
    ///
    /// # Errors
    /// [`EventError::Append`].
    pub fn scalar(&mut self, step: i64, tag: &str, value: f32) -> Result<(), EventError> {
        self.summary(step, SummaryValue { tag: tag.to_string(), simple_value: Some(value), ..SummaryValue::default() })
    }

    /// Adds a picture of `width` x `height` pixels, given as the bytes of a PNG file.
    ///
    /// # Errors
    /// [`EventError::Append`].
    pub fn image_png(
        &mut self,
        step: i64,
        tag: &str,
        width: u32,
        height: u32,
        png_bytes: &[u8],
    ) -> Result<(), EventError> {
        let image = SummaryImage {
            // Beyond 2^31 pixels a side there is no PNG.
            height: height.try_into().unwrap_or(i32::MAX),
            width: width.try_into().unwrap_or(i32::MAX),
            colorspace: png_channels(png_bytes),
            encoded_image_string: png_bytes.to_vec(),
        };
        self.summary(step, SummaryValue { tag: tag.to_string(), image: Some(image), ..SummaryValue::default() })
    }

    /// Adds a text, which TensorBoard renders as Markdown.
    ///
    /// # Errors
    /// [`EventError::Append`].
    pub fn text(&mut self, step: i64, tag: &str, markdown: &str) -> Result<(), EventError> {
        let tensor = Tensor { dtype: DT_STRING, string_val: vec![markdown.to_string()], ..Tensor::of_one() };
        self.of_plugin(step, tag, "text", Vec::new(), tensor)
    }

    /// Says which settings the run has, for TensorBoard's table of hyperparameters (`tensorboard/plugins/hparams/plugin_data.proto`).
    /// Call it once, at the beginning.
    ///
    /// # Errors
    /// [`EventError::Append`].
    pub fn hyperparameters(
        &mut self,
        settings: impl IntoIterator<Item = (String, Hyperparameter)>,
    ) -> Result<(), EventError> {
        let hparams = settings.into_iter().map(|(name, setting)| (name, setting.into())).collect();
        let session_start_info = Some(SessionStart { hparams, start_time_secs: self.wall_time_secs });
        let content = HparamsPluginData { version: 0, session_start_info }.encode_to_vec();
        let tensor = Tensor { dtype: DT_FLOAT, float_val: vec![0.0], ..Tensor::of_one() };
        self.of_plugin(0, "_hparams_/session_start_info", "hparams", content, tensor)
    }

    fn of_plugin(
        &mut self,
        step: i64,
        tag: &str,
        plugin: &str,
        content: Vec<u8>,
        tensor: Tensor,
    ) -> Result<(), EventError> {
        let plugin_data = Some(PluginData { plugin_name: plugin.to_string(), content });
        let value = SummaryValue {
            tag: tag.to_string(),
            tensor: Some(tensor),
            metadata: Some(SummaryMetadata { plugin_data, data_class: DATA_CLASS_TENSOR }),
            ..SummaryValue::default()
        };
        self.summary(step, value)
    }

    /// Hands all events so far to the operating system, where a running TensorBoard finds them.
    ///
    /// # Errors
    /// [`EventError::Append`].
    pub fn flush(&mut self) -> Result<(), EventError> {
        self.records.flush().map_err(|source| self.failed(source))
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn summary(&mut self, step: i64, value: SummaryValue) -> Result<(), EventError> {
        self.append(Event { step, summary: Some(Summary { value: vec![value] }), ..Event::default() })
    }

    fn append(&mut self, mut event: Event) -> Result<(), EventError> {
        event.wall_time = self.wall_time_secs + self.created.elapsed().as_secs_f64();
        match self.records.write(&event.encode_to_vec()) {
            Ok(_) => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: RecordError) -> EventError {
        EventError::Append { path: self.path.clone(), source }
    }
}

/// `Summary.Image.colorspace`, which counts channels, from the colour type in a PNG's header (PNG specification,
/// 11.2.2: byte 25 of the file). Palettes show as RGB.
fn png_channels(png_bytes: &[u8]) -> i32 {
    match png_bytes.get(25) {
        Some(0) => 1,
        Some(4) => 2,
        Some(6) => 4,
        _ => 3,
    }
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<SummaryImage>,
    #[prost(message, optional, tag = "8")]
    tensor: Option<Tensor>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<SummaryMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryImage {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryMetadata {
    #[prost(message, optional, tag = "1")]
    plugin_data: Option<PluginData>,
    #[prost(int32, tag = "4")]
    data_class: i32,
}

#[derive(Clone, PartialEq, Message)]
struct PluginData {
    #[prost(string, tag = "1")]
    plugin_name: String,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

/// The part of `TensorProto` that a text or a number needs.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    tensor_shape: Option<TensorShape>,
    #[prost(float, repeated, tag = "5")]
    float_val: Vec<f32>,
    #[prost(string, repeated, tag = "8")]
    string_val: Vec<String>,
}

impl Tensor {
    /// The shape `[1]`.
    fn of_one() -> Self {
        Tensor { tensor_shape: Some(TensorShape { dim: vec![TensorDim { size: 1 }] }), ..Tensor::default() }
    }
}

/// A setting in the table of hyperparameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Hyperparameter {
    /// A number.
    Number(f64),
    /// A word.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

impl From<Hyperparameter> for ProtobufValue {
    fn from(setting: Hyperparameter) -> Self {
        match setting {
            Hyperparameter::Number(number) => ProtobufValue { number_value: Some(number), ..ProtobufValue::default() },
            Hyperparameter::Text(text) => ProtobufValue { string_value: Some(text), ..ProtobufValue::default() },
            Hyperparameter::Bool(yes) => ProtobufValue { bool_value: Some(yes), ..ProtobufValue::default() },
        }
    }
}

/// The part of `google.protobuf.Value` that a setting needs; one of the fields is there.
#[derive(Clone, PartialEq, Message)]
struct ProtobufValue {
    #[prost(double, optional, tag = "2")]
    number_value: Option<f64>,
    #[prost(string, optional, tag = "3")]
    string_value: Option<String>,
    #[prost(bool, optional, tag = "4")]
    bool_value: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionStart {
    #[prost(btree_map = "string, message", tag = "1")]
    hparams: BTreeMap<String, ProtobufValue>,
    #[prost(double, tag = "5")]
    start_time_secs: f64,
}

#[derive(Clone, PartialEq, Message)]
struct HparamsPluginData {
    #[prost(int32, tag = "1")]
    version: i32,
    #[prost(message, optional, tag = "3")]
    session_start_info: Option<SessionStart>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<TensorDim>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorDim {
    #[prost(int64, tag = "1")]
    size: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordReader;

    fn events(path: &Path) -> Vec<Event> {
        let records = RecordReader::new(File::open(path).unwrap());
        records.map(|record| Event::decode(&record.unwrap()[..]).unwrap()).collect()
    }

    #[test]
    fn events_return_in_order_behind_the_version() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(&dir.path().join("run/events"), 1_700_000_000.25, ".train").unwrap();
        writer.resume_at(100).unwrap();
        writer.scalar(-1, "loss", f32::NAN).unwrap();
        writer.scalar(1 << 40, "loss", 0.5).unwrap();
        writer.image_png(7, "val", 500, 375, b"png").unwrap();
        writer.text(8, "note", "*hello*").unwrap();
        writer.hyperparameters([("lr".to_string(), Hyperparameter::Number(0.1))]).unwrap();
        writer.flush().unwrap();
        assert!(writer.path().ends_with("run/events/events.out.tfevents.1700000000.0.train"));
        let events = events(writer.path());
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(events[1].session_log, Some(SessionLog { status: 1 }));
        assert_eq!(events.iter().map(|event| event.step).collect::<Vec<_>>(), [0, 100, -1, 1 << 40, 7, 8, 0]);
        assert!(events.iter().all(|event| (1_700_000_000.25..1_700_000_060.0).contains(&event.wall_time)));
        let values: Vec<_> = events.iter().filter_map(|event| event.summary.as_ref()).map(|s| &s.value[0]).collect();
        assert!(values[0].simple_value.unwrap().is_nan());
        assert_eq!((values[1].tag.as_str(), values[1].simple_value), ("loss", Some(0.5)));
        let image = values[2].image.as_ref().unwrap();
        assert_eq!((image.width, image.height, &image.encoded_image_string[..]), (500, 375, &b"png"[..]));
        assert_eq!(values[3].tensor.as_ref().unwrap().string_val, ["*hello*"]);
        let plugin = values[4].metadata.as_ref().unwrap().plugin_data.as_ref().unwrap();
        let settings = HparamsPluginData::decode(&plugin.content[..]).unwrap().session_start_info.unwrap();
        assert_eq!((plugin.plugin_name.as_str(), settings.hparams["lr"].number_value), ("hparams", Some(0.1)));
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..3)
            .map(|step| {
                let mut writer = EventWriter::create(dir.path(), 5.0, "").unwrap();
                writer.scalar(step, "loss", 1.0).unwrap();
                writer.path().to_path_buf()
            })
            .collect();
        for (number, path) in paths.iter().enumerate() {
            assert!(path.ends_with(format!("events.out.tfevents.0000000005.{number}")), "{path:?}");
            assert_eq!(events(path).len(), 2);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = EventWriter::create(&file.path().join("run"), 5.0, "").unwrap_err();
        assert!(error.to_string().starts_with("cannot create the event file /"), "{error}");
    }
}
