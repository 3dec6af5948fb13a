//! `data.yaml`: the names of the classes and the folders of the splits.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::files::yaml::{self, Step};
use crate::labels::class_file;

/// The longest file: a thousand classes with long names.
const MAX_BYTES: u64 = 1 << 20;

/// What the file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Config {
    /// Names of the classes, by number.
    pub names: Vec<String>,
    /// Folders of photographs by split, as they are written.
    pub splits: Vec<(String, Vec<String>)>,
    /// Whether labels are boxes with key points, by `kpt_shape`.
    pub key_points: bool,
    /// The folder that the others start from.
    path: Option<String>,
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
        let scalars = yaml::scalars(text)?;
        let mut config = Config::default();
        for (expected, (number, name)) in class_file::names_in_yaml(&scalars)?.into_iter().enumerate() {
            if number != expected {
                return Err(format!(
                    "`names` has the class {number}, but not {expected}: numbers count from 0 without gaps"
                ));
            }
            config.names.push(name);
        }
        for (way, value) in scalars {
            let [Step::Key(key), rest @ ..] = &way[..] else { continue };
            let is_split = ["train", "val", "test"].contains(&key.as_str()) && matches!(rest, [] | [Step::Item(_)]);
            config.key_points |= key == "kpt_shape";
            if key == "path" && rest.is_empty() {
                config.path = Some(value);
            } else if is_split && !matches!(value.trim(), "" | "~" | "null") {
                match config.splits.iter_mut().find(|(name, _)| name == key) {
                    Some((_, folders)) => folders.push(value),
                    None => config.splits.push((key.clone(), vec![value])),
                }
            }
        }
        Ok(config)
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
        let cases = [
            ("names: {0: a, 2: b}", "has the class 2, but not 1"),
            ("names: {a: 0}", "`a` in `names` is no number"),
            ("a: &x [1]\nb: *x", "alias"),
        ];
        for (text, expected) in cases {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(expected), "{}: {error}", text);
        }
        assert_eq!(Config::parse("").unwrap(), Config::default());
        assert_eq!(Config::parse("- a\n- b").unwrap(), Config::default());
    }
}
