//! The last look at what was written: it is opened as any data set, and must be the one that was meant.

use std::collections::BTreeSet;
use std::path::Path;

use crate::dataset::{Dataset, Form};
use crate::error::{Error, Result};
use crate::labels::Classes;

/// A split as it was written: its name and its ids.
pub(super) type Written = (String, BTreeSet<String>);

/// Opens the data set in `folder` and compares layout, classes, splits and ids; returns its fingerprint.
///
/// # Errors
/// A data set that is another one than was meant, in what is said; those of opening it.
pub(super) fn proven(folder: &Path, layout: Form, classes: &Classes, splits: &[Written]) -> Result<String> {
    let differs = |what: String| {
        Error::data(format!("what was written would be read as another data set: {what}"))
            .hint("nothing is left of it; write `to records`, which hold any names")
    };
    let dataset = Dataset::open(folder, None).map_err(|e| differs(e.message))?;
    if dataset.form != layout {
        return Err(differs(format!("as layout `{}` instead of `{layout}`", dataset.form)));
    }
    if dataset.classes != *classes {
        return Err(differs(format!("with the classes {}", dataset.classes.names.join(", "))));
    }
    let names: BTreeSet<&String> = splits.iter().map(|(name, _)| name).collect();
    if dataset.splits().iter().collect::<BTreeSet<_>>() != names {
        return Err(differs(format!("with the splits {}", dataset.splits().join(", "))));
    }
    let mut hasher = blake3::Hasher::new();
    for (name, ids) in splits {
        let split = dataset.split_as_listed(name)?;
        if let Some(fault) = split.faults().first() {
            return Err(differs(fault.message.clone()));
        }
        let found: BTreeSet<String> = (0..split.len()).map(|i| split.id(i).to_string()).collect();
        if let Some(other) = found.symmetric_difference(ids).next() {
            return Err(differs(format!("`{}` of split `{name}` is in one of the two alone", other.escape_debug())));
        }
        hasher.update(name.as_bytes()).update(split.fingerprint().as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}
