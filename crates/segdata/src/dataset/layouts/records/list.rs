//! Listing record files: by the index where there is one, by their names and content where there is none.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::index::{INDEX_NAME, Index, IndexedFile, IndexedSplit, UNFINISHED};
use super::names::{ShardName, shard_name};
use super::read::{begins_as_records, id_in, places_in};
use crate::dataset::entry::{Entry, Fault, Listing, Place, Source, fingerprint, refuse_faults};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::dataset::names::name_of;
use crate::error::{Error, ErrorKind, Result};
use crate::files::glob::{matcher, pattern_in};
use crate::files::tree::Tree;
use crate::labels::{Classes, MaskCoding};

/// TFRecord files: one, a folder of them, or those that a glob in the last component matches.
pub(crate) struct Records;

impl DataSetLayout for Records {
    fn form(&self) -> Form {
        Form::Records
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let path = tree.root();
        if tree.is_file(path) {
            return Some(folder_of(path).to_path_buf());
        }
        let by_glob = glob_in(tree).is_some();
        let folder = if by_glob { folder_of(path) } else { path };
        let nnunet = || tree.is_dir(&folder.join("imagesTr")); // has a file of the index's name
        let marked = || [INDEX_NAME, UNFINISHED].iter().any(|name| tree.is_file(&folder.join(name))) && !nnunet();
        let named = || tree.list(folder).is_ok_and(|paths| paths.iter().any(|path| is_record_file(tree, path)));
        (tree.is_dir(folder) && (by_glob || marked() || named())).then(|| folder.to_path_buf())
    }

    fn list(&self, tree: &Tree, _: &OpenOptions) -> Result<Layout> {
        let path = tree.root();
        let paths = files_at(tree)?;
        let folder = if tree.is_dir(path) { path } else { folder_of(path) };
        if tree.is_file(&folder.join(UNFINISHED)) {
            return Err(Error::data("the folder holds an unfinished conversion")
                .at(folder)
                .hint("run `convert` again"));
        }
        let index = if tree.is_dir(path) { Index::read_in(tree, folder)? } else { None };
        // What the index describes was converted: it holds class ids. What other programs write holds mask values.
        let coding = match Index::read_in(tree, folder).ok().flatten() {
            Some(index) => MaskCoding::of_ids(&index.classes),
            None => MaskCoding::from(&Classes::voc()),
        };
        let listings = match index {
            Some(index) => index.splits.iter().map(|s| indexed_listing(tree, folder, s)).collect(),
            None => named_listings(tree, paths),
        };
        if listings.iter().all(|listing| listing.entries.is_empty())
            && let Some(cause) =
                listings.iter().flat_map(|listing| &listing.faults).find_map(|fault| fault.cause.clone())
        {
            return Err(cause); // not one whole record: probably no record file at all
        }
        Ok(Layout { form: Form::Records, tree: tree.at(folder), coding: Some(coding), listings })
    }
}

/// The pattern that the last component of the root is, unless there is a file or folder of that very name.
fn glob_in(tree: &Tree) -> Option<&str> {
    let path = tree.root();
    pattern_in(path).filter(|_| !tree.is_file(path) && !tree.is_dir(path))
}

/// The folder in which `path` lies.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a file is named as records are; a name that does not say so for certain needs the content.
fn is_record_file(tree: &Tree, path: &Path) -> bool {
    let named = shard_name(&name_of(path)).filter(|_| tree.is_file(path));
    named.is_some_and(|name| name.certain || begins_as_records(tree, path))
}

/// The record files meant by the root of `tree`: a folder's, one file, or those that a glob in the last component matches.
/// None in a folder whose index names files that are gone.
fn files_at(tree: &Tree) -> Result<Vec<PathBuf>> {
    let path = tree.root();
    if tree.is_file(path) {
        return Ok(vec![path.to_path_buf()]);
    }
    let pattern = glob_in(tree);
    let folder = if pattern.is_some() { folder_of(path) } else { path };
    let fits = pattern.map(matcher).transpose().map_err(|e| e.at(path))?;
    let mut paths = tree.list(folder)?;
    paths.retain(|path| match &fits {
        Some(fits) => fits(path.file_name().unwrap_or_default()) && tree.is_file(path),
        None => is_record_file(tree, path),
    });
    match pattern {
        Some(pattern) if paths.is_empty() => {
            Err(Error::new(ErrorKind::Io, format!("no file matches `{pattern}`")).at(folder))
        }
        _ => Ok(paths),
    }
}

/// The fingerprint of a split whose shards have just been written; see
/// [`Split::fingerprint`](crate::dataset::Split::fingerprint).
pub(crate) fn fingerprint_of(folder: &Path, split: &IndexedSplit, classes: &Classes) -> Result<String> {
    let tree = Tree::open(folder)?;
    let listing = indexed_listing(&tree, folder, split);
    refuse_faults(&listing.name, &listing.faults)?;
    Ok(fingerprint(&tree, classes, &listing.entries))
}

/// A split as `dataset.json` describes it. A file that holds something else is a fault, because then it belongs to
/// another conversion or was cut off.
fn indexed_listing(tree: &Tree, folder: &Path, split: &IndexedSplit) -> Listing {
    let mut listing = Listing::empty(&split.name);
    let mut ids = split.ids.iter().cloned();
    for file in &split.files {
        let ids: Vec<String> = ids.by_ref().take(file.records).collect();
        match indexed_places(tree, folder, file, ids.len()) {
            Ok(places) => listing.entries.extend(entries(ids, places)),
            Err(e) => listing.faults.push(damaged_shard(e)),
        }
    }
    if let more @ 1.. = ids.count() {
        listing.faults.push(damaged_shard(
            Error::data(format!("split `{}` has {more} ids without a record", split.name)).at(folder.join(INDEX_NAME)),
        ));
    }
    listing
}

/// The records of a shard, if there are as many as the index and its `ids` say.
fn indexed_places(tree: &Tree, folder: &Path, file: &IndexedFile, ids: usize) -> Result<Vec<Place>> {
    let path = folder.join(&file.name);
    let bytes = tree.open_file("the shard", &path)?.size();
    if bytes != file.bytes {
        return Err(Error::data(format!("the shard has {bytes} bytes, {INDEX_NAME} says {}", file.bytes)).at(&path));
    }
    let places = places_in(tree, &path)?;
    if places.len() != file.records || ids != file.records {
        let (found, said) = (places.len(), file.records);
        return Err(
            Error::data(format!("the shard has {found} records, {INDEX_NAME} says {said} and names {ids}")).at(&path)
        );
    }
    Ok(places)
}

fn entries(ids: Vec<String>, places: Vec<Place>) -> impl Iterator<Item = Entry> {
    ids.into_iter().zip(places).map(|(id, place)| Entry { id, source: Source::Record(place) })
}

fn damaged_shard(error: Error) -> Fault {
    let error = if error.hint.is_some() { error } else { error.hint("convert the data set again") };
    Fault {
        code: "damaged_shard",
        id: None,
        message: error.to_string(),
        hint: error.hint.clone().unwrap_or_default(),
        cause: Some(error),
    }
}

/// Splits by file name; ids by reading every record once.
fn named_listings(tree: &Tree, paths: Vec<PathBuf>) -> Vec<Listing> {
    let mut listings: Vec<Listing> = Vec::new();
    let mut shards: Vec<Vec<(usize, usize)>> = Vec::new();
    for path in paths {
        let name = name_of(&path);
        let stem = name.split('.').next().unwrap_or(&name);
        let named = shard_name(&name).unwrap_or(ShardName { split: stem.to_string(), shard: None, certain: false });
        let ShardName { split, shard, .. } = named;
        let at = listings.iter().position(|l| l.name == split).unwrap_or_else(|| {
            listings.push(Listing::empty(&split));
            shards.push(Vec::new());
            listings.len() - 1
        });
        shards[at].extend(shard);
        let places = match places_in(tree, &path) {
            Ok(places) if places.is_empty() => {
                Err(Error::data("the shard is empty (0 bytes)").at(&path).hint("copy it again, or convert again"))
            }
            other => other,
        };
        let places = match places {
            Ok(places) => places,
            Err(e) => {
                listings[at].faults.push(damaged_shard(e));
                continue;
            }
        };
        let ids: Vec<String> =
            places.par_iter().map(|p| id_in(tree, p).unwrap_or_else(|| format!("{stem}#{}", p.record))).collect();
        listings[at].entries.extend(entries(ids, places));
    }
    for (listing, found) in listings.iter_mut().zip(shards) {
        let expected = found.iter().map(|(_, of)| *of).max().unwrap_or(0);
        let missing: Vec<String> =
            (0..expected.min(100_000)).filter(|n| !found.iter().any(|(i, _)| i == n)).map(|n| n.to_string()).collect();
        if !missing.is_empty() {
            listing.faults.push(Fault {
                code: "missing_shard",
                id: None,
                message: format!("shards {} of {expected} are missing", missing.join(", ")),
                hint: "copy the missing shards, or convert the data set again".into(),
                cause: None,
            });
        }
        listing.make_ids_unique();
    }
    listings.sort_by(|a, b| a.name.cmp(&b.name));
    listings
}
