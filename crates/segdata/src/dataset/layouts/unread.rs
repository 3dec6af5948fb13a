//! Data sets that are recognised, but not read: what they are, and what makes of them one that is.

use crate::dataset::listing::each_file;
use crate::dataset::names::stem_of_image_name;
use crate::files::tree::Tree;

/// What lies there instead of a data set that is read.
pub(super) struct Kind {
    /// What it is: `this is ...`.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// Ending of a file, what a folder of such files is, and the remedy.
const KINDS: [(&str, &str, &str); 12] = [
    (
        ".nii.gz",
        "volumes in NIfTI",
        "write their slices as PNG, image and label alike, for example with nibabel and Pillow",
    ),
    (
        ".nii",
        "volumes in NIfTI",
        "write their slices as PNG, image and label alike, for example with nibabel and Pillow",
    ),
    (".dcm", "DICOM files", "write their slices as PNG, for example with `dcm2img` of DCMTK"),
    (
        ".arrow",
        "a data set of Hugging Face in Arrow",
        "write it as Parquet: `load_from_disk(DIR)[\"train\"].to_parquet(\"data/train-00000-of-00001.parquet\")` in Python",
    ),
    (".mdb", "an LMDB database", "write its images and masks into images/ and masks/"),
    (".h5", "HDF5 files", "write their arrays as PNG into images/ and masks/, for example with h5py and Pillow"),
    (".hdf5", "HDF5 files", "write their arrays as PNG into images/ and masks/, for example with h5py and Pillow"),
    (".mat", "MATLAB files", "write their arrays as PNG into masks/, for example with `scipy.io.loadmat` and Pillow"),
    (".npy", "NumPy arrays", "write them as PNG into images/ and masks/, for example with Pillow's `Image.fromarray`"),
    (".npz", "NumPy arrays", "write them as PNG into images/ and masks/, for example with Pillow's `Image.fromarray`"),
    (".zip", "a folder of archives", "name one of them, or unpack all of them here"),
    (".tar.gz", "a folder of archives", "unpack all of them here: `tar -xf FILE`"),
];

/// Files that are looked at before the kind of a folder is settled.
const MOST_LOOKED_AT: usize = 10_000;

/// The kind of what lies in `tree`, found from the endings of its files: the first of the list that occurs.
pub(super) fn kind_of(tree: &Tree) -> Option<Kind> {
    let (mut first, mut images, mut looked_at) = (None::<(usize, String)>, 0, 0);
    let looked = each_file(tree, tree.root(), 3, &mut |below, name, _| {
        let lower = name.to_lowercase();
        images += usize::from(stem_of_image_name(name).is_some());
        let kind = KINDS.iter().position(|(end, ..)| lower.ends_with(end));
        if let Some(kind) = kind.filter(|kind| first.as_ref().is_none_or(|(known, _)| kind < known)) {
            first = Some((kind, format!("{below}{name}")));
        }
        looked_at += 1;
        looked_at < MOST_LOOKED_AT
    });
    looked.ok()?;
    if let Some((kind, name)) = first {
        let (_, what, remedy) = KINDS[kind];
        return Some(Kind { what: format!("this is {what} ({name})"), remedy: remedy.into() });
    }
    (images > 0).then(|| Kind {
        what: format!("there are {images} images, and no mask that has the name of one"),
        remedy: "put photographs into images/ and masks into masks/ under the same names; `images`, `masks` and \
                 `mask_suffix` name what is called otherwise"
            .into(),
    })
}
