//! Masks in which one class alone occurs, or none.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::explain::{ValueCounts, explain};
use super::samples::samples;
use crate::dataset::split::Split;
use crate::error::{Error, Result};
use crate::labels::{MaskCoding, VOID};

/// Masks read at a time: two classes are mostly found among the first.
const AT_A_TIME: usize = 16;

/// Message and remedy of a data set in which `class` alone occurs, or void alone.
pub(crate) fn only_one_class(class: Option<&str>, values: &ValueCounts) -> (String, String) {
    let class = class.map_or("void".into(), |name| format!("class `{name}`"));
    let explained = explain(values);
    let list =
        explained.class_list.map_or(String::new(), |l| format!("; a class list that reads them so:\n{}", l.trim_end()));
    (
        format!(
            "only {class} occurs in any mask, so there is nothing to distinguish; the masks hold {}",
            values.describe(12)
        ),
        format!("{}{list}", explained.meaning),
    )
}

/// Refuses `splits` in whose masks fewer than two classes occur. Reads masks until two are found: one or two as a rule.
///
/// # Errors
/// One class, or void, in all masks that can be read.
pub(crate) fn refuse_one_class(splits: &[Split], coding: &MaskCoding) -> Result<()> {
    let (samples, _) = samples(splits);
    let (mut values, mut classes) = (ValueCounts::default(), BTreeSet::new());
    for some in samples.chunks(AT_A_TIME) {
        let masks: Vec<_> = (some.par_iter())
            .filter_map(|&(split, i)| Some(split.mask(i).ok()?.under(coding).ok()?.histogram()))
            .collect();
        for histogram in &masks {
            values.add(histogram);
            classes.extend(histogram.keys().filter_map(|&value| coding.id_of(value)).filter(|&id| id != VOID));
        }
        if classes.len() > 1 {
            return Ok(());
        }
    }
    if values.masks == 0 {
        return Ok(()); // every mask has an error of its own
    }
    let class = classes.first().and_then(|&id| coding.classes.names.get(usize::from(id)));
    let (message, hint) = only_one_class(class.map(String::as_str), &values);
    Err(Error::data(message).hint(hint))
}
