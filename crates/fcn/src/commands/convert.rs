//! `fcn convert`: data set to TFRecords, or to files in another layout.

use std::path::PathBuf;

use clap::ValueEnum;
use fcn_core::{Error, Result};
use segdata::convert::{
    ConvertOptions, ConvertReport, ConvertedSplit, DEFAULT_MIN_SIZE, ExifPolicy, OnError, Target, VoidPolicy, convert,
    skipped_error,
};

use crate::flags::data::DataFlags;
use crate::flags::global::Global;
use crate::flags::mask_values::MaskValuesFlag;
use crate::report;

/// Write a data set as TFRecords with an index, or in another layout
///
/// Image files are stored untouched (as PNG of 8 bits where --scale-16bit or --bands change what is read), masks as one
/// class id a pixel. The same data give the same bytes, whatever the number of threads. Of records dataset.json is written
/// last: a folder without it is no whole conversion. Another layout is opened and compared with the data before it appears
/// under its name.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  fcn convert VOCdevkit/VOC2012 --out records --splits train,val --shards 4
  fcn convert export.zip --to coco --out coco")]
pub struct Args {
    /// A folder, zip or tar in any usual layout, or record files
    data: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = To::Records)]
    to: To,
    /// Splits to convert, separated by commas [default: train,val as far as they exist]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    splits: Vec<String>,
    /// Files a split, of records [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: Option<u16>,
    /// Leave out images whose shorter side is below this, in pixels [default: 224 for records, 0 for the others]
    #[arg(long, value_name = "PIXELS")]
    min_size: Option<usize>,
    /// What becomes of void pixels: 255, or class 0 as in old record files
    #[arg(long, value_enum, default_value_t = Void::Keep)]
    void: Void,
    /// What a bad sample does: end with all of them listed (exit 3), or be left out (exit 8)
    #[arg(long, value_enum, default_value_t = BadSample::Stop)]
    on_error: BadSample,
    /// What masks of photographs with an EXIF rotation were drawn on: the stored pixels, or the upright picture
    #[arg(long, value_enum, default_value_t = Exif::Stored)]
    exif: Exif,
    /// Class list, `id name [r g b]` a line [default: classes.txt in DATA]
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    #[command(flatten)]
    data_flags: DataFlags,
    #[command(flatten)]
    mask_values: MaskValuesFlag,
    /// Replace an earlier conversion
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum To {
    /// SPLIT-00000-of-00004.tfrecord and dataset.json
    Records,
    /// images/SPLIT/, masks/SPLIT/ and classes.txt
    Folder,
    /// JPEGImages/, SegmentationClass/, ImageSets/Segmentation/SPLIT.txt and classes.txt
    Voc,
    /// images/SPLIT/, annotations/instances_SPLIT.json and classes.txt; void is a category of its own
    Coco,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Void {
    Keep,
    Background,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BadSample {
    Stop,
    Skip,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Exif {
    Stored,
    Upright,
}

/// Files a split of records, unless it is said.
const DEFAULT_SHARDS: u16 = 4;

/// Converts and prints what was written.
pub fn run(args: Args, global: &Global) -> Result<()> {
    if args.to != To::Records && args.shards.is_some() {
        return Err(Error::usage("--shards is about records").hint("leave --shards out, or write --to records"));
    }
    let options = ConvertOptions {
        data: args.data,
        open: args.data_flags.options(args.classes, args.mask_values.given())?,
        out: args.out,
        to: match args.to {
            To::Records => Target::Records,
            To::Folder => Target::Folder,
            To::Voc => Target::Voc,
            To::Coco => Target::Coco,
        },
        splits: args.splits,
        shards: args.shards.unwrap_or(DEFAULT_SHARDS).into(),
        min_size: args.min_size.unwrap_or(if args.to == To::Records { DEFAULT_MIN_SIZE } else { 0 }),
        void: match args.void {
            Void::Keep => VoidPolicy::Keep,
            Void::Background => VoidPolicy::Background,
        },
        on_error: match args.on_error {
            BadSample::Stop => OnError::Stop,
            BadSample::Skip => OnError::Skip,
        },
        exif: match args.exif {
            Exif::Stored => ExifPolicy::Stored,
            Exif::Upright => ExifPolicy::Upright,
        },
        overwrite: args.force,
    };
    let started = std::time::Instant::now();
    let progress = report::Progress::new("convert", 0, global);
    let written = convert(&options, &|done, total| progress.at(done, total))?;
    drop(progress);
    if global.json {
        report::print_json(&written)?;
    } else {
        report::print_line(&text(&written, started.elapsed().as_secs_f64()));
    }
    skipped_error(&written).map_or(Ok(()), Err)
}

fn text(written: &ConvertReport, secs: f64) -> String {
    let mut lines: Vec<String> = vec![written.layout.line()];
    lines.extend(written.left_out.clone());
    for split in &written.splits {
        lines.extend(split.skipped.iter().map(|s| format!("{}: left out {}: {}", split.name, s.id, s.reason)));
    }
    lines.extend(written.splits.iter().map(split_line));
    lines.push(format!(
        "fingerprint {}, {}",
        &written.fingerprint[..written.fingerprint.len().min(16)],
        report::duration(secs)
    ));
    lines.join("\n")
}

fn split_line(split: &ConvertedSplit) -> String {
    let first = split.files.first().map_or(String::new(), |f| format!(": {}", f.display()));
    let more = if split.files.len() > 1 { format!(" and {} more", split.files.len() - 1) } else { String::new() };
    format!(
        "{}: {} of {} written, {} left out{first}{more}",
        split.name,
        split.written,
        split.listed,
        split.skipped.len()
    )
}
