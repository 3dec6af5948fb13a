//! What the layouts of this folder have in common: labels that are shapes, in files on disk.

use std::path::{Path, PathBuf};

use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::{Error, Result};
use crate::files::tree::Tree;

/// A layout whose labels are shapes in files on disk.
pub(in crate::dataset::layouts) trait ShapesOnDisk: Sync {
    /// The word for it.
    const FORM: Form;

    /// The root of the data set at `path`, where it lies in this way; looks at names, and at the first bytes of files that any
    /// tool may have written.
    fn recognise(&self, path: &Path) -> Option<PathBuf>;

    /// Lists the samples of a data set that was recognised at `path`.
    fn list(&self, path: &Path, options: &OpenOptions) -> Result<Layout>;
}

impl<L: ShapesOnDisk> DataSetLayout for L {
    fn form(&self) -> Form {
        L::FORM
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        if tree.is_archive() { None } else { ShapesOnDisk::recognise(self, tree.root()) }
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        match tree.is_archive() {
            false => ShapesOnDisk::list(self, tree.root(), options),
            true => {
                Err(Error::data("labels that are shapes are not read in an archive").at(tree.root()).hint("unpack it"))
            }
        }
    }
}
