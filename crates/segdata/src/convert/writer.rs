//! What every form that a data set is written in has to do.

use std::path::PathBuf;

use super::report::ConvertedSplit;
use crate::dataset::Split;
use crate::error::Result;
use crate::image::Header;
use crate::labels::{Classes, LabelMap};

/// A sample that was read and verified.
pub(super) struct Sample {
    pub id: String,
    /// The image file, untouched unless it was turned upright.
    pub encoded: Vec<u8>,
    pub header: Header,
    pub labels: LabelMap,
}

/// A form of data set. Whatever it has written is gone when it is dropped before [`Writer::finish`].
pub(super) trait Writer: Sized + Sync {
    /// A sample as it will be written.
    type Ready: Send;

    /// Into how many parts a split is cut, none of them empty where it has samples.
    fn parts(&self, split: &Split) -> usize;

    /// Begins the next part of `split`.
    fn begin(&mut self, split: &Split, part: usize) -> Result<()>;

    /// Prepares a sample of `split`, in any order and by many threads at once. A sample that this form cannot hold is an
    /// error of kind [`Data`](crate::error::ErrorKind::Data), any other error ends the conversion.
    fn ready(&self, split: &str, sample: Sample) -> Result<Self::Ready>;

    /// Writes a sample of the part that was begun last, in the order of the list.
    fn write(&mut self, id: String, ready: Self::Ready) -> Result<()>;

    /// Ends the part; returns the files or folders that hold it.
    fn end(&mut self) -> Result<Vec<PathBuf>>;

    /// Makes the whole data set appear; returns its fingerprint.
    fn finish(self, classes: &Classes, splits: &[ConvertedSplit]) -> Result<String>;
}
