//! The cells of some columns of a Parquet file.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::footer::{self, Column};
use super::page::{Page, Values, pages_of, values_of};
use crate::error::{Error, Result};
use crate::files::tree::{Opened, Tree};

/// Decoded pages that a file keeps, in bytes: a page holds many cells, and neighbours are read one after the other.
const KEPT_BYTES: usize = 256 << 20;

/// What the file is called in errors.
const WHAT: &str = "the Parquet file";

/// A Parquet file of whose columns some are read. Every method may be called from any thread.
#[derive(Debug)]
pub(crate) struct Table {
    tree: Tree,
    path: PathBuf,
    rows: usize,
    digest: [u8; 32],
    columns: Vec<Pages>,
    kept: Mutex<VecDeque<(u64, Arc<Values>)>>,
}

/// The pages of a column.
#[derive(Debug)]
struct Pages {
    name: String,
    defined: u8,
    /// First row, page, and the dictionary of its chunk.
    pages: Vec<(usize, Page, Option<Page>)>,
}

impl Table {
    /// Reads the footer and the headers of the pages of the columns that `choose` names: it gets the names of all columns of
    /// byte arrays, from the outermost in, and returns positions among them.
    ///
    /// # Errors
    /// A file that is damaged or written in a way that is not read; those of `choose`.
    pub fn open(tree: &Tree, path: &Path, choose: impl FnOnce(&[Vec<String>]) -> Result<Vec<usize>>) -> Result<Table> {
        let mut opened = tree.open_file(WHAT, path)?;
        let footer = footer::read(path, &mut opened)?;
        let names: Vec<Vec<String>> = footer.columns.iter().map(|column| column.path.clone()).collect();
        let chosen = choose(&names).map_err(|e| e.at(path))?;
        let columns = chosen.into_iter().filter_map(|at| footer.columns.get(at));
        let columns = columns.map(|column| Pages::of(path, &mut opened, column)).collect::<Result<Vec<_>>>()?;
        Ok(Table {
            tree: tree.clone(),
            path: path.to_path_buf(),
            rows: footer.rows,
            digest: footer.digest,
            columns,
            kept: Mutex::default(),
        })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The bytes in a row of the column that was chosen as number `column`.
    ///
    /// # Errors
    /// A cell that is empty; damage.
    pub fn read(&self, row: usize, column: usize) -> Result<Vec<u8>> {
        let pages =
            self.columns.get(column).ok_or_else(|| Error::internal(format!("column {column} was not chosen")))?;
        let empty = || {
            Error::data(format!("column {} is empty in row {row}", pages.name))
                .at(&self.path)
                .hint("write the bytes of the files into the table, not their paths alone")
        };
        let after = pages.pages.partition_point(|(first, ..)| *first <= row);
        let (first, page, dictionary) = after.checked_sub(1).and_then(|at| pages.pages.get(at)).ok_or_else(empty)?;
        let dictionary = match dictionary {
            Some(dictionary) => Some(self.decoded(dictionary, 0, None)?),
            None => None,
        };
        let values = self.decoded(page, pages.defined, dictionary.as_deref())?;
        values.get(row - first).map(<[u8]>::to_vec).ok_or_else(empty)
    }

    /// The values of a page, decoded or from those that are kept.
    fn decoded(&self, page: &Page, defined: u8, dictionary: Option<&Values>) -> Result<Arc<Values>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, values)) = kept().iter().find(|(start, _)| *start == page.start) {
            return Ok(values.clone());
        }
        let mut opened = self.tree.open_file(WHAT, &self.path)?;
        let values = Arc::new(values_of(&self.path, &mut opened, page, defined, dictionary)?);
        let mut kept = kept();
        kept.push_back((page.start, values.clone()));
        while kept.len() > 1 && kept.iter().map(|(_, values)| values.size()).sum::<usize>() > KEPT_BYTES {
            kept.pop_front();
        }
        Ok(values)
    }

    /// Feeds the hasher what distinguishes a row from that of an edited file: the footer, which holds the sizes of all
    /// pages and the smallest and largest values.
    pub fn digest(&self, row: usize, hasher: &mut blake3::Hasher) {
        hasher.update(&self.digest).update(&(row as u64).to_le_bytes());
    }

    /// `FILE, row 3`.
    pub fn describe(&self, row: usize) -> String {
        format!("{}, row {row}", self.path.display())
    }
}

impl Pages {
    fn of(path: &Path, opened: &mut Opened, column: &Column) -> Result<Pages> {
        let (mut pages, mut first) = (Vec::new(), 0);
        for chunk in &column.chunks {
            let (dictionary, found) = pages_of(path, opened, chunk)?;
            for page in found {
                let values = page.values;
                pages.push((first, page, dictionary.clone()));
                first += values;
            }
        }
        Ok(Pages { name: column.path.join("."), defined: column.defined, pages })
    }
}
