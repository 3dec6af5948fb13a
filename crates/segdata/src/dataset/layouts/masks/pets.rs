//! The Oxford-IIIT Pet data set: `images/ID.jpg`, `annotations/trimaps/ID.png` with 1 pet, 2 background and 3 border, and
//! `annotations/{trainval,test}.txt` with an id, class, species and breed a line.

use std::path::PathBuf;

use crate::dataset::entry::Listing;
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::dataset::layouts::drawn_split::{draw, draw_all};
use crate::dataset::listing::{Files, ListedId, read_list};
use crate::dataset::names::Side;
use crate::error::Result;
use crate::files::tree::Tree;
use crate::labels::{Classes, MaskCoding, VOID};

const TRIMAPS: &str = "annotations/trimaps";

/// Value of a trimap and class id; the border belongs to neither.
const VALUES: [(u8, u8); 3] = [(1, 1), (2, 0), (3, VOID)];

/// `images/` and `annotations/trimaps/`.
pub(in crate::dataset::layouts) struct Pets;

impl DataSetLayout for Pets {
    fn form(&self) -> Form {
        Form::Pets
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let images = tree.root().join("images");
        (tree.is_dir(&images) && tree.is_dir(&tree.root().join(TRIMAPS))).then_some(images)
    }

    /// `trainval.txt` is divided into `train` and `val` by a draw; `test.txt` is `test`.
    fn list(&self, tree: &Tree, _: &OpenOptions) -> Result<Layout> {
        let root = tree.root();
        let mut files = Files::new(tree, Side::of(root.join("images")), Side::of(root.join(TRIMAPS)))?;
        let list = |name: &str| {
            let path = root.join("annotations").join(name);
            tree.is_file(&path).then(|| read_list(tree, &path))
        };
        let mut listings: Vec<Listing> = match list("trainval.txt") {
            Some(lines) => {
                let ids = lines?.into_iter().filter_map(id_of).map(|listed| listed.id).collect();
                draw(&mut files, ids)
            }
            None => draw_all(&mut files),
        };
        if let Some(lines) = list("test.txt") {
            listings.push(files.resolve("test", lines?.into_iter().filter_map(id_of).collect()));
        }
        let coding = MaskCoding::with_values(Classes::named(["background", "pet"]), VALUES);
        Ok(Layout { form: Form::Pets, tree: tree.clone(), coding: Some(coding), listings })
    }
}

/// The id at the start of a line; none in a comment.
fn id_of(listed: ListedId) -> Option<ListedId> {
    let id = listed.id.split_whitespace().next().filter(|id| !id.starts_with('#'))?.to_string();
    Some(ListedId { id, ..listed })
}
