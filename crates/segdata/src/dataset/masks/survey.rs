//! A look at all masks before any is believed: their headers, and their pixels only where these leave a doubt.
//!
//! The palette of a PNG file lies before its pixels, so a header costs one short read; that of a TIFF may lie anywhere.

use std::path::Path;

use rayon::prelude::*;

use super::contradictions::{MaskFacts, contradictions, possible};
use crate::dataset::split::Split;
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::{Format, MaskHeader, RawMask, guess_format, read_mask_header};
use crate::labels::{MaskCoding, MaskValues};

/// Bytes read of a mask at first: a palette of 256 colours and a colour profile.
const START_BYTES: u64 = 8 << 10;

/// Records that show whether labels are arrays or files.
const FIRST_RECORDS: usize = 4;

/// Refuses masks in `tree`, each named by its id, that contradict each other or `coding`; see [`contradictions`]. What cannot be read is
/// passed over: it is an error of its own.
///
/// # Errors
/// The first contradiction.
pub(crate) fn refuse_contradictions(tree: &Tree, masks: &[(&str, &Path)], coding: &MaskCoding) -> Result<()> {
    if coding.mask_values() == MaskValues::Index {
        return Ok(());
    }
    let headers: Vec<MaskFacts> =
        masks.par_iter().filter_map(|&(id, path)| MaskFacts::of_header(id, header(tree, path)?)).collect();
    if !possible(&headers, coding) {
        return Ok(());
    }
    let whole = |path| RawMask::decode(&tree.read("the mask", path).ok()?).ok();
    refuse(masks.par_iter().filter_map(|&(id, path)| MaskFacts::of_mask(id, &whole(path)?)).collect(), coding)
}

/// As [`refuse_contradictions`], of the mask files that records of other programs may hold. Records of label arrays are
/// known by the first, and no other is read.
///
/// # Errors
/// The first contradiction.
pub(crate) fn refuse_contradicting_records(records: &[(&Split, usize)], coding: &MaskCoding) -> Result<()> {
    let mask = |&(split, i): &(&Split, usize)| split.mask(i).ok();
    let holds_files = || records.iter().take(FIRST_RECORDS).filter_map(mask).any(|m| m.palette.is_some() || m.bits < 8);
    if coding.is_of_ids() || coding.mask_values() == MaskValues::Index || !holds_files() {
        return Ok(());
    }
    let facts = |record: &(&Split, usize)| MaskFacts::of_mask(record.0.id(record.1), &mask(record)?);
    refuse(records.par_iter().filter_map(facts).collect(), coding)
}

fn refuse(masks: Vec<MaskFacts>, coding: &MaskCoding) -> Result<()> {
    match contradictions(&masks, coding).into_iter().next() {
        Some(found) => Err(Error::data(found.message).hint(found.hint)),
        None => Ok(()),
    }
}

fn header(tree: &Tree, path: &Path) -> Option<MaskHeader> {
    let start = tree.read_start("the mask", path, START_BYTES).ok()?;
    read_mask_header(&start).or_else(|| {
        let is_cut =
            start.len() as u64 == START_BYTES && matches!(guess_format(&start), Ok(Format::Png | Format::Tiff));
        is_cut.then(|| tree.read("the mask", path).ok()).flatten().and_then(|bytes| read_mask_header(&bytes))
    })
}
