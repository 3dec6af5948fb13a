//! `fcn convert`: data set to TFRecords.

use std::path::PathBuf;

use clap::ValueEnum;
use fcn_core::Result;
use segdata::convert::{
    ConvertOptions, ConvertReport, ConvertedSplit, DEFAULT_MIN_SIZE, ExifPolicy, OnError, VoidPolicy, convert,
    skipped_error,
};

use crate::flags::data::DataFlags;
use crate::flags::global::Global;
use crate::flags::mask_values::MaskValuesFlag;
use crate::report;

/// Write a data set as TFRecords, with an index
///
/// Image files are stored untouched (as PNG of 8 bits where --scale-16bit or --bands change what is read), masks as one
/// class id a pixel. The same data give the same bytes, whatever the
/// number of threads. dataset.json is written last: a folder without it is no whole conversion.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fcn convert VOCdevkit/VOC2012 --out records --splits train,val --shards 4")]
pub struct Args {
    /// A folder, zip or tar in any usual layout, or record files
    data: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Splits to convert, separated by commas [default: train,val as far as they exist]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    splits: Vec<String>,
    /// Files a split
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: u16,
    /// Leave out images whose shorter side is below this, in pixels
    #[arg(long, default_value_t = DEFAULT_MIN_SIZE, value_name = "PIXELS")]
    min_size: usize,
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

/// Converts and prints what was written.
pub fn run(args: Args, global: &Global) -> Result<()> {
    let options = ConvertOptions {
        data: args.data,
        open: args.data_flags.options(args.classes, args.mask_values.given())?,
        out: args.out,
        splits: args.splits,
        shards: args.shards.into(),
        min_size: args.min_size,
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
