//! Class lists as other programs write them, put into the lines of a `classes.txt`.
//!
//! | file | content | source |
//! | --- | --- | --- |
//! | `labelmap.txt` | `name:r,g,b:parts:actions` | CVAT, segmentation mask 1.1 |
//! | `class_dict.csv` | `name,r,g,b` | CamVid as Kaggle has it |
//! | `_classes.csv` | `Pixel Value, Class` | Roboflow, semantic segmentation masks |
//! | `id2label.json` | `{"0": "name", ...}` | Hugging Face's models |
//! | `data.yaml` | `names:` as a list or by number | Ultralytics |

use std::path::Path;

use crate::error::{Error, Result};
use crate::files::yaml::{Step, scalars};

/// Names under which a class list may lie beside the data, the first that is there counts.
pub(crate) const NAMES: [&str; 6] =
    ["classes.txt", "labelmap.txt", "class_dict.csv", "_classes.csv", "id2label.json", "data.yaml"];

/// The bytes of a class list as text.
///
/// # Errors
/// Bytes that are not UTF-8.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String> {
    let text = String::from_utf8(bytes).map_err(|e| Error::data(format!("the class list is not UTF-8: {e}")))?;
    Ok(text.trim_start_matches('\u{feff}').to_string())
}

/// The lines of a `classes.txt` that say what the class list `text` says, which lies at `path`: how it is written follows
/// from the ending of its name. `None` where it is such a list already.
///
/// # Errors
/// A list that is not written as its name says.
pub(super) fn translate(path: &Path, text: &str) -> Result<Option<String>> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("").to_lowercase();
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "csv" => csv(text).map(Some),
        "json" => json(text).map(Some),
        "yaml" | "yml" => yaml(text).map(Some),
        _ if name == "labelmap.txt" => labelmap(text).map(Some),
        _ => Ok(None),
    }
}

fn unread(what: String, expected: &str) -> Error {
    Error::data(what).hint(format!("expected {expected}"))
}

/// `r g b name` for each `name:r,g,b:parts:actions`; the number of a class is that of its line.
fn labelmap(text: &str) -> Result<String> {
    let mut lines = String::new();
    for (n, line) in text.lines().map(str::trim).enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
        let mut fields = line.split(':');
        let (name, colour) = (fields.next().unwrap_or("").trim(), fields.next().unwrap_or(""));
        let rgb: Vec<&str> = colour.split(',').map(str::trim).collect();
        if name.is_empty() || rgb.len() != 3 {
            return Err(unread(format!("line {}: `{line}` is no label", n + 1), "`name:r,g,b:parts:actions`"));
        }
        lines.push_str(&format!("{} {name}\n", rgb.join(" ")));
    }
    Ok(lines)
}

/// A table with a header: a name and a number, or a name and three components of a colour, in any order of columns.
fn csv(text: &str) -> Result<String> {
    let expected = "a header and columns `name,r,g,b`, or `Pixel Value,Class`";
    let mut rows =
        text.lines().map(|line| line.split(',').map(|field| field.trim().trim_matches('"')).collect::<Vec<_>>());
    let header: Vec<String> = rows.next().unwrap_or_default().iter().map(|field| field.to_lowercase()).collect();
    let column = |names: &[&str]| header.iter().position(|field| names.contains(&field.as_str()));
    let name = column(&["name", "class", "label", "class_name"]);
    let rgb = [column(&["r", "red"]), column(&["g", "green"]), column(&["b", "blue"])];
    let value =
        column(&["pixel value", "value", "id", "index", "pixel_value", "class_id", "label_id", "train_id", "trainid"]);
    let columns: Vec<usize> = match (name, rgb, value) {
        (Some(name), [Some(r), Some(g), Some(b)], Some(value)) => vec![value, name, r, g, b],
        (Some(name), [Some(r), Some(g), Some(b)], None) => vec![r, g, b, name],
        (Some(name), _, Some(value)) => vec![value, name],
        _ => return Err(unread(format!("the header of the class list is `{}`", header.join(",")), expected)),
    };
    let mut lines = String::new();
    for (n, row) in rows.enumerate().filter(|(_, row)| row.iter().any(|field| !field.is_empty())) {
        let fields: Option<Vec<&str>> = columns.iter().map(|&c| row.get(c).copied()).collect();
        let fields =
            fields.ok_or_else(|| unread(format!("line {}: `{}` is too short", n + 2, row.join(",")), expected))?;
        lines.push_str(&format!("{}\n", fields.join(" ")));
    }
    Ok(lines)
}

/// `{"0": "name"}`, alone or as `id2label` of a model's configuration.
fn json(text: &str) -> Result<String> {
    let expected = "an object `{\"0\": \"name\", \"1\": \"name\", ...}`";
    let parsed: serde_json::Value =
        serde_json::from_str(text).map_err(|e| unread(format!("the class list is no JSON: {e}"), expected))?;
    let by_number = parsed.get("id2label").unwrap_or(&parsed).as_object();
    let by_number = by_number.ok_or_else(|| unread("the class list is no object".into(), expected))?;
    let mut lines = String::new();
    for (number, name) in by_number {
        let name = name.as_str().ok_or_else(|| unread(format!("`{number}` is given {name}, no name"), expected))?;
        lines.push_str(&format!("{number} {name}\n"));
    }
    Ok(lines)
}

/// The `names` of a `data.yaml`.
fn yaml(text: &str) -> Result<String> {
    let expected = "`names: [a, b]`, or one `0: a` a line below `names:`";
    let names = scalars(text).and_then(|scalars| names_in_yaml(&scalars));
    match names.map_err(|what| unread(format!("the file cannot be read: {what}"), expected))? {
        none if none.is_empty() => Err(unread("the file has no `names`".into(), expected)),
        names => Ok(names.into_iter().map(|(number, name)| format!("{number} {name}\n")).collect()),
    }
}

/// The classes in the scalars of a `data.yaml`, in the order of their numbers: `names` is a list, or a mapping from numbers.
///
/// # Errors
/// A key of the mapping that is no number.
pub(crate) fn names_in_yaml(scalars: &[(Vec<Step>, String)]) -> std::result::Result<Vec<(usize, String)>, String> {
    let mut numbered = Vec::new();
    for (way, name) in scalars {
        let number = match &way[..] {
            [Step::Key(key), Step::Item(at)] if key == "names" => *at,
            [Step::Key(key), Step::Key(number)] if key == "names" => {
                number.trim().parse().map_err(|_| format!("`{number}` in `names` is no number of a class"))?
            }
            _ => continue,
        };
        numbered.push((number, name.clone()));
    }
    numbered.sort();
    Ok(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_lists_of_other_programs_say_the_same() {
        let cases = [
            (
                "labelmap.txt",
                "# label:color_rgb:parts:actions\nbackground:0,0,0::\nside walk:1, 2,3::\n",
                "0 0 0 background\n1 2 3 side walk\n",
            ),
            ("class_dict.csv", "name,r,g,b\nAnimal,64,128,64\r\nVoid,0,0,0\n", "64 128 64 Animal\n0 0 0 Void\n"),
            ("class_dict.csv", "id,name,r,g,b\n2,dog,1,2,3\n0,background,0,0,0\n", "2 dog 1 2 3\n0 background 0 0 0\n"),
            ("_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n\n", "0 background\n1 cat\n"),
            ("id2label.json", r#"{"0": "wall", "1": "a cat"}"#, "0 wall\n1 a cat\n"),
            ("config.json", r#"{"id2label": {"0": "wall"}}"#, "0 wall\n"),
            ("data.yaml", "path: x\nnames: [a, 'b c']\nnc: 2\n", "0 a\n1 b c\n"),
            ("data.yaml", "names:\n  0: a # first\n  1: \"b\"\nnc: 2\n", "0 a\n1 b\n"),
            ("data.yml", "names:\n- a\n- b\ntrain: images\n", "0 a\n1 b\n"),
            ("data.yaml", "names: {0: a,\n  1: b}\n", "0 a\n1 b\n"),
        ];
        let mut failures = Vec::new();
        for (name, text, expected) in cases {
            match translate(Path::new(name), text) {
                Ok(Some(found)) if found == expected => {}
                other => failures.push(format!("{name}: {other:?}")),
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
        assert!(translate(Path::new("classes.txt"), "0 a").is_ok_and(|t| t.is_none()));
        for (name, text) in [
            ("labelmap.txt", "a 1 2 3"),
            ("a.csv", "x,y\n1,2"),
            ("a.csv", "name,r,g,b\nAnimal,1"),
            ("a.json", "["),
            ("a.json", "[1]"),
            ("a.json", r#"{"0": 1}"#),
            ("a.yaml", "nc: 3"),
            ("a.yaml", "names:\nnc: 3"),
            ("a.yaml", "names: {a: 0}"),
        ] {
            assert!(translate(Path::new(name), text).is_err_and(|e| e.hint.is_some()), "{name}: {text}");
        }
    }
}
