//! labelme: a JSON file a picture, whose outlines are drawn in their order.
//!
//! Format: `label_file.py` of labelme (version 5). A region comes after the one in whose hole it lies and is drawn over it;
//! so is background that lies in a hole. Void is `__ignore__`, as labelme calls it.

use std::path::{Component, Path};

use serde::Serialize;

use super::names::Names;
use crate::error::{Error, Result};
use crate::files::write::write_bytes_atomically;
use crate::image::shapes::regions;
use crate::labels::{LABELME_VOID, LabelMap, VOID};

/// The version of labelme whose files these are.
const VERSION: &str = "5.5.0";

#[derive(Serialize)]
struct Flags {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LabelmeFile<'a> {
    version: &'static str,
    flags: Flags,
    shapes: Vec<LabelmeShape<'a>>,
    image_path: String,
    image_data: Option<String>,
    image_height: usize,
    image_width: usize,
}

#[derive(Serialize)]
struct LabelmeShape<'a> {
    label: &'a str,
    points: Vec<[f64; 2]>,
    group_id: Option<u32>,
    description: &'static str,
    shape_type: &'static str,
    flags: Flags,
    mask: Option<String>,
}

/// Writes the file of one picture at `path`; its photograph lies at `photograph`.
///
/// # Errors
/// A label map that is none; what the system refuses.
pub(super) fn write(path: &Path, photograph: &Path, labels: &LabelMap, names: &Names, simplify: f64) -> Result<()> {
    let mut shapes = Vec::new();
    for region in regions(labels)? {
        if Some(region.id) == names.background && region.inside.is_none() {
            continue;
        }
        shapes.push(LabelmeShape {
            label: if region.id == VOID { LABELME_VOID } else { names.name(region.id)? },
            points: region.outline.simplified(simplify).into_iter().map(|corner| corner.map(f64::from)).collect(),
            group_id: None,
            description: "",
            shape_type: "polygon",
            flags: Flags {},
            mask: None,
        });
    }
    let file = LabelmeFile {
        version: VERSION,
        flags: Flags {},
        shapes,
        image_path: seen_from(path.parent().unwrap_or(Path::new("")), photograph),
        image_data: None,
        image_height: labels.height,
        image_width: labels.width,
    };
    let text = serde_json::to_string_pretty(&file)
        .map_err(|e| Error::internal(format!("no JSON of a label map: {e}")).at(path))?;
    write_bytes_atomically(path, text.as_bytes())
}

/// The path of a photograph from `folder`, with slashes; the whole path where no relative one leads there, and the name of
/// what is no file.
fn seen_from(folder: &Path, photograph: &Path) -> String {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let (Ok(folder), Ok(whole)) = (folder.canonicalize(), photograph.canonicalize()) else {
        return photograph.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    };
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (folder.components().collect(), whole.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return whole.to_string_lossy().into_owned(); // on another drive
    }
    let up = from[common..].iter().map(|_| Component::ParentDir);
    let names: Vec<_> = up.chain(to[common..].iter().copied()).map(|c| c.as_os_str().to_string_lossy()).collect();
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photographs_are_named_from_the_folder_of_the_labels() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("photos/day")).unwrap();
        std::fs::create_dir_all(at("out/labels")).unwrap();
        std::fs::write(at("photos/day/a.jpg"), b"x").unwrap();
        std::fs::write(at("out/b.jpg"), b"x").unwrap();
        let cases = [
            ("out", "photos/day/a.jpg", "../photos/day/a.jpg"),
            ("out/labels", "out/b.jpg", "../b.jpg"),
            ("photos/day", "photos/day/a.jpg", "a.jpg"),
            ("photos", "photos/day/a.jpg", "day/a.jpg"),
            ("out", "stdin", "stdin"),
        ];
        for (folder, photograph, expected) in cases {
            assert_eq!(seen_from(&at(folder), &at(photograph)), expected, "{folder} {photograph}");
        }
    }
}
