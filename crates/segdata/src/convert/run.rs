//! The conversion from beginning to end.

use rayon::prelude::*;

use super::files::Files;
use super::options::{ConvertOptions, OnError, Target};
use super::prepare::{Prepared, prepare};
use super::records::Records;
use super::report::{ConvertReport, ConvertedSplit};
use super::writer::Writer;
use crate::dataset::layouts::records::SkippedSample;
use crate::dataset::{Dataset, Split};
use crate::error::{Error, Result};

/// Samples in memory at once, for each thread.
const BATCH_PER_THREAD: usize = 16;

/// Converts a data set. `progress` is called with the samples done and their number.
///
/// # Errors
/// Masks that contradict each other or hold one class alone; something else in `out`; a split is missing or empty; splits
/// or classes that the form cannot hold; bad samples (all of them named) unless they are skipped; nothing left to write;
/// anything the system refuses. Nothing that looks like a whole data set is left behind.
pub fn convert(options: &ConvertOptions, progress: &dyn Fn(usize, usize)) -> Result<ConvertReport> {
    let dataset = Dataset::open_with(&options.data, &options.open)?;
    let names = if options.splits.is_empty() { usual_splits(&dataset) } else { options.splits.clone() };
    let splits = names.iter().map(|name| dataset.split_as_listed(name)).collect::<Result<Vec<_>>>()?;
    if splits.is_empty() {
        return Err(Error::usage("nothing to convert: at least one split is needed"));
    }
    dataset.refuse_contradictions()?;
    dataset.refuse_one_class()?;
    match options.to {
        Target::Records => write(Records::begin(options)?, &dataset, &splits, options, progress),
        to => write(Files::begin(to, options, &dataset.classes, &splits)?, &dataset, &splits, options, progress),
    }
}

fn write<W: Writer>(
    mut writer: W,
    dataset: &Dataset,
    splits: &[Split],
    options: &ConvertOptions,
    progress: &dyn Fn(usize, usize),
) -> Result<ConvertReport> {
    let total = splits.iter().map(Split::len).sum();
    let (mut done, mut bad) = (0, Vec::new());
    let mut report = ConvertReport {
        layout: dataset.form,
        left_out: dataset.left_out().map(Into::into),
        to: options.to,
        splits: Vec::new(),
        fingerprint: String::new(),
    };
    for split in splits {
        let mut advance = |n: usize| {
            done += n;
            progress(done, total);
        };
        report.splits.push(convert_split(split, options, &mut writer, &mut bad, &mut advance)?);
    }
    if !bad.is_empty() && options.on_error == OnError::Stop {
        return Err(stopped(&bad));
    }
    if let Some(split) = report.splits.iter().find(|s| s.written == 0) {
        let reason = split.skipped.first().map_or(String::new(), |s| format!(": {}", s.reason));
        return Err(Error::data(format!("no image of split `{}` is left to write{reason}", split.name))
            .hint("lower `min_size`, or run `check`"));
    }
    report.fingerprint = writer.finish(&dataset.classes, &report.splits)?;
    Ok(report)
}

/// The splits taken when none is named.
fn usual_splits(dataset: &Dataset) -> Vec<String> {
    let all = dataset.splits();
    let usual: Vec<String> = all.iter().filter(|name| ["train", "val"].contains(&name.as_str())).cloned().collect();
    if usual.is_empty() { all } else { usual }
}

fn convert_split<W: Writer>(
    split: &Split,
    options: &ConvertOptions,
    writer: &mut W,
    bad: &mut Vec<String>,
    advance: &mut dyn FnMut(usize),
) -> Result<ConvertedSplit> {
    let classes = split.coding().classes.len();
    let mut converted = ConvertedSplit {
        name: split.name().to_string(),
        listed: split.len(),
        written: 0,
        skipped: Vec::new(),
        bad: 0,
        files: Vec::new(),
        images_by_class: vec![0; classes],
        pixels_by_class: vec![0; classes],
        void_pixels: 0,
    };
    // Missing files come up again when the sample is read; faults without a sample are reported here.
    for fault in split.faults().iter().filter(|f| {
        matches!(f.code, "unsafe_id" | "duplicate_id" | "missing_shard" | "damaged_shard" | "unknown_image")
    }) {
        converted.reject(fault.id.clone().unwrap_or_default(), fault.message.clone(), bad);
        converted.listed += 1;
    }
    let (batch, parts) = (BATCH_PER_THREAD * rayon::current_num_threads(), writer.parts(split));
    for part in 0..parts {
        writer.begin(split, part)?;
        let indices: Vec<usize> = (part * split.len() / parts..(part + 1) * split.len() / parts).collect();
        for batch in indices.chunks(batch) {
            let prepared: Vec<_> = batch.par_iter().map(|&i| prepare(split, i, options, &*writer)).collect();
            for (&i, sample) in batch.iter().zip(prepared) {
                let id = split.id(i).to_string();
                match sample {
                    Prepared::Ready { ready, pixels } => {
                        writer.write(id, ready)?;
                        converted.count(&pixels);
                    }
                    Prepared::TooSmall(reason) => converted.skipped.push(SkippedSample { id, reason }),
                    Prepared::Bad(e) => converted.reject(id, e.to_string(), bad),
                    Prepared::Failed(e) => return Err(e),
                }
            }
            advance(batch.len());
        }
        converted.files.extend(writer.end()?);
    }
    Ok(converted)
}

/// The error that lists what kept a conversion from being whole.
fn stopped(bad: &[String]) -> Error {
    const SHOWN: usize = 20;
    let more = if bad.len() > SHOWN { format!("\n  and {} more", bad.len() - SHOWN) } else { String::new() };
    let listed: String = bad.iter().take(SHOWN).map(|b| format!("\n  {b}")).collect();
    Error::data(format!("{} samples cannot be converted; nothing was written:{listed}{more}", bad.len()))
        .hint("correct them (`check` explains), or leave them out with `on_error` skip")
}
