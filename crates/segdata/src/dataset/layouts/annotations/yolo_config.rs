//! `data.yaml`: the names of the classes and the folders of the splits.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser};

use crate::error::{Error, Result};
use crate::files::tree::Tree;

/// The longest file: a thousand classes with long names.
const MAX_BYTES: u64 = 1 << 20;

/// What the file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Config {
    /// Names of the classes, by number.
    pub names: Vec<String>,
    /// Folders of photographs by split, as they are written.
    pub splits: Vec<(String, Vec<String>)>,
    /// The folder that the others start from.
    path: Option<String>,
}

/// Where in the file the parser is: keys of the open mappings, positions in the open lists.
#[derive(Debug)]
enum Place {
    Mapping(Option<String>),
    List(usize),
}

impl Config {
    /// The configuration at the root of `tree`.
    pub fn beside(tree: &Tree) -> Option<PathBuf> {
        let names = ["data.yaml", "data.yml", "dataset.yaml", "dataset.yml"];
        names.map(|name| tree.root().join(name)).into_iter().find(|path| tree.is_file(path))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What is no YAML (line and column are named); aliases, which no such file needs; numbers of classes with gaps.
    pub fn read(tree: &Tree, path: &Path) -> Result<Config> {
        if let Some(length) = tree.size(path).filter(|length| *length > MAX_BYTES) {
            return Err(Error::data(format!("the data.yaml has {length} bytes, at most {MAX_BYTES} are read")).at(path));
        }
        let bytes = tree.read("the data.yaml", path)?;
        let text = String::from_utf8_lossy(&bytes);
        Self::parse(text.trim_start_matches('\u{feff}')).map_err(|what| {
            Error::data(format!("the data.yaml cannot be read: {what}"))
                .at(path)
                .hint("expected `names:`, a list of classes or `number: name` lines, and `train:`, `val:` with folders")
        })
    }

    fn parse(text: &str) -> std::result::Result<Config, String> {
        let mut config = Config::default();
        let mut numbered: Vec<(usize, String)> = Vec::new();
        let mut places: Vec<Place> = Vec::new();
        for event in Parser::new_from_str(text) {
            match event.map_err(|e| e.to_string())?.0 {
                Event::MappingStart(..) => places.push(Place::Mapping(None)),
                Event::SequenceStart(..) => places.push(Place::List(0)),
                Event::MappingEnd | Event::SequenceEnd => {
                    places.pop();
                    step(&mut places);
                }
                Event::Scalar(value, ..) => {
                    if let Some(Place::Mapping(key @ None)) = places.last_mut() {
                        *key = Some(value.into_owned());
                        continue;
                    }
                    config.take(&places, value, &mut numbered)?;
                    step(&mut places);
                }
                Event::Alias(_) => return Err("it holds an alias (`*name`)".into()),
                _ => {}
            }
        }
        numbered.sort();
        for (expected, (number, name)) in numbered.into_iter().enumerate() {
            if number != expected {
                return Err(format!(
                    "`names` has the class {number}, but not {expected}: numbers count from 0 without gaps"
                ));
            }
            config.names.push(name);
        }
        Ok(config)
    }

    /// Keeps a value that is wanted.
    fn take(
        &mut self,
        places: &[Place],
        value: Cow<'_, str>,
        numbered: &mut Vec<(usize, String)>,
    ) -> std::result::Result<(), String> {
        match places {
            [Place::Mapping(Some(key)), Place::List(at)] if key == "names" => numbered.push((*at, value.into_owned())),
            [Place::Mapping(Some(key)), Place::Mapping(Some(number))] if key == "names" => {
                let number =
                    number.trim().parse().map_err(|_| format!("`{number}` in `names` is no number of a class"))?;
                numbered.push((number, value.into_owned()));
            }
            [Place::Mapping(Some(key))] if key == "path" => self.path = Some(value.into_owned()),
            [Place::Mapping(Some(key)), rest @ ..]
                if ["train", "val", "test"].contains(&key.as_str())
                    && matches!(rest, [] | [Place::List(_)])
                    && !matches!(value.trim(), "" | "~" | "null") =>
            {
                match self.splits.iter_mut().find(|(name, _)| name == key) {
                    Some((_, folders)) => folders.push(value.into_owned()),
                    None => self.splits.push((key.clone(), vec![value.into_owned()])),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The folder of photographs that is written as `folder`: below `path`, or below the data set. Exporters write
    /// `../train/images` for `train/images`.
    pub fn resolve(&self, tree: &Tree, folder: &str) -> Option<PathBuf> {
        let folder = folder.replace('\\', "/");
        let inner = folder.trim_start_matches("../").trim_start_matches("./");
        let root = tree.root();
        let below = self.path.as_deref().map(|path| root.join(path));
        let bases = below.into_iter().chain([root.to_path_buf()]);
        let tries =
            bases.flat_map(|base| [base.join(&folder), base.join(inner)]).flat_map(|p| [p.clone(), p.join("images")]);
        let tries: Vec<PathBuf> = tries.filter(|p| tree.is_dir(p)).collect();
        // `train: train` means train/images: a folder that leads through `images` is meant first.
        let through_images = tries.iter().find(|p| p.iter().any(|part| part == "images"));
        through_images.or(tries.first()).cloned()
    }
}

/// A value is read: the next one has another key, or the next place in its list.
fn step(places: &mut [Place]) {
    match places.last_mut() {
        Some(Place::Mapping(key)) => *key = None,
        Some(Place::List(at)) => *at += 1,
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lists_or_mappings() {
        let cases = [
            "names: ['cat', \"dog\"]\ntrain: images/train\nval: [a, b]\nnc: 2\n",
            "# made by hand\npath: .\ntrain: images/train\nval:\n  - a\n  - b\nnames:\n  0: cat\n  1: dog\ntest:\n",
            "names:\n- cat\n- dog\nval: [a, b]\ntrain: images/train\nroboflow: {workspace: x, names: [z]}\ntest: null\n",
            "names: {1: dog, 0: cat}\ntrain: images/train\nval: [a, b]",
        ];
        for text in cases {
            let config = Config::parse(text).unwrap();
            assert_eq!(config.names, ["cat", "dog"], "{text}");
            let splits: std::collections::BTreeMap<_, _> = config.splits.into_iter().collect();
            assert_eq!(splits["train"], ["images/train"], "{text}");
            assert_eq!(splits["val"], ["a", "b"], "{text}");
            assert_eq!(splits.len(), 2, "{text}");
        }
    }

    #[test]
    fn hostile_files_are_refused() {
        let nested = "[".repeat(100_000);
        let cases = [
            ("names: {0: a, 2: b}", "has the class 2, but not 1"),
            ("names: {a: 0}", "`a` in `names` is no number"),
            ("a: &x [1]\nb: *x", "alias"),
            ("names: [a", "line"),
            (&nested, "line"),
            ("names: \"a", "line"),
        ];
        for (text, expected) in cases {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(expected), "{}: {error}", &text[..text.len().min(40)]);
        }
        assert_eq!(Config::parse("").unwrap(), Config::default());
        assert_eq!(Config::parse("- a\n- b").unwrap(), Config::default());
    }
}
