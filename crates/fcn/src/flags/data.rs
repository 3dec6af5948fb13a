//! How a data set lies on disk, where what is there does not say it.

use std::path::PathBuf;

use fcn_core::Result;
use segdata::dataset::{Form, OpenOptions};
use segdata::labels::MaskValues;

use super::choice::one_of;
use super::reading::ReadingFlags;

/// How a data set lies on disk, for commands that read one.
#[derive(clap::Args, Clone, Debug)]
pub struct DataFlags {
    /// Layout of the data [default: recognised by what is there]
    #[arg(long, value_name = "NAME", value_parser = one_of::<Form>())]
    layout: Option<Form>,
    /// Folder of photographs in the data, where no layout names it
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Folder of masks in the data, where no layout names it
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// What the name of a mask has behind that of its photograph, such as _mask [default: nothing]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    mask_suffix: Option<String>,
    #[command(flatten)]
    reading: ReadingFlags,
}

impl DataFlags {
    /// The flags as options, with this class list and what counts in masks.
    ///
    /// # Errors
    /// An unknown layout.
    pub fn options(&self, classes: Option<PathBuf>, mask_values: Option<MaskValues>) -> Result<OpenOptions> {
        Ok(OpenOptions {
            classes,
            mask_values: mask_values.unwrap_or_default(),
            layout: self.layout,
            images: self.images.clone(),
            masks: self.masks.clone(),
            mask_suffix: self.mask_suffix.clone(),
            reading: self.reading.options(),
        })
    }
}
