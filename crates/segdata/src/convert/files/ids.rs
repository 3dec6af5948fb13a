//! Which ids are names of files on every system.

use std::collections::{HashMap, HashSet};

use crate::dataset::Split;
use crate::image::Format;

/// The longest name of a file or folder without its extension, in bytes: systems take 255 with it.
const MAX_NAME: usize = 240;

/// Characters that some system does not allow in names.
const FORBIDDEN: &str = "<>:\"|?*\\";

/// Names that Windows keeps for devices; those of ports have a digit behind them.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const PORTS: [&str; 2] = ["com", "lpt"];

/// How deep folders may lie in each other: readers look no deeper.
const MAX_FOLDERS: usize = 8;

/// Why `id` is no path of a file below a folder, on some system or for some reader; `None` where it is one.
pub(super) fn fault(id: &str) -> Option<String> {
    let parts: Vec<&str> = id.split('/').collect();
    if parts.len() > MAX_FOLDERS + 1 {
        return Some(format!("has more than {MAX_FOLDERS} folders"));
    }
    let (folders, name) = parts.split_at(parts.len() - 1);
    let image = |folder: &&&str| folder.rsplit_once('.').is_some_and(|(_, end)| Format::of_extension(end).is_some());
    if let Some(folder) = folders.iter().find(image) {
        return Some(format!("has the folder `{folder}`, which is called like an image"));
    }
    folders.iter().chain(name).find_map(|part| part_fault(part))
}

fn part_fault(part: &str) -> Option<String> {
    if let Some(c) = part.chars().find(|c| c.is_control() || *c == '\u{feff}' || FORBIDDEN.contains(*c)) {
        return Some(format!("holds `{}`", c.escape_debug()));
    }
    let stem = part.split('.').next().unwrap_or(part).to_lowercase();
    let port = || {
        stem.len() == 4
            && PORTS.iter().any(|port| stem.starts_with(port))
            && stem.ends_with(|c: char| c.is_ascii_digit())
    };
    match part {
        "" => Some("has a name without a letter".into()),
        _ if part.starts_with('.') => Some("has a hidden name, which begins with a dot".into()),
        _ if part.trim() != part || part.ends_with('.') => {
            Some("begins or ends with a blank, or ends with a dot".into())
        }
        _ if part.len() > MAX_NAME => Some(format!("is longer than {MAX_NAME} bytes")),
        "__MACOSX" => Some("has the folder `__MACOSX`, which is passed over".into()),
        _ if DEVICES.contains(&stem.as_str()) || port() => {
            Some(format!("is called `{stem}`, the name of a device on Windows"))
        }
        _ => None,
    }
}

/// Ids that differ from another in the case of letters alone: some systems take the two for one file.
pub(super) fn differing_in_case_alone(splits: &[Split]) -> HashSet<String> {
    let mut spelt: HashMap<String, HashSet<&str>> = HashMap::new();
    for split in splits {
        for id in (0..split.len()).map(|i| split.id(i)) {
            spelt.entry(id.to_lowercase()).or_default().insert(id);
        }
    }
    spelt.into_values().filter(|ids| ids.len() > 1).flatten().map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_on_every_system() {
        let long = "x".repeat(241);
        let deep = "a/".repeat(9) + "b";
        let cases = [
            ("2007_000033", None),
            ("a b ü#3.v2", None),
            ("day 1/left/0001", None),
            ("a.png", None),
            ("console/com10", None),
            ("", Some("without a letter")),
            ("a//b", Some("without a letter")),
            ("../a", Some("begins with a dot")),
            (".a", Some("begins with a dot")),
            ("a/._b", Some("begins with a dot")),
            (" a", Some("a blank")),
            ("a /b", Some("a blank")),
            ("a.", Some("ends with a dot")),
            ("10:30", Some("holds `:`")),
            ("a\\b", Some("holds `\\\\`")),
            ("a\nb", Some("holds `\\n`")),
            ("NUL", Some("name of a device")),
            ("x/lpt1.left", Some("name of a device")),
            ("__MACOSX/a", Some("passed over")),
            ("a.png/b", Some("called like an image")),
            (&long, Some("longer than")),
            (&deep, Some("more than 8 folders")),
        ];
        for (id, expected) in cases {
            let found = fault(id);
            match expected {
                None => assert_eq!(found, None, "{id:?}"),
                Some(part) => assert!(found.as_ref().is_some_and(|f| f.contains(part)), "{id:?}: {found:?}"),
            }
        }
    }
}
