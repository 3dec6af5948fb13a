//! The files of the workspace, read once for all rules.

use std::path::{Path, PathBuf};

use super::tree::{Sources, Tree};

/// A member of the workspace.
pub struct Crate {
    pub name: String,
    pub sources: Sources,
    /// One for each of `lib.rs` and `main.rs` that there is.
    pub trees: Vec<Tree>,
}

/// The workspace that this test is part of.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// Every folder of `crates/` with a manifest, sorted by name.
pub fn crates(root: &Path) -> Vec<Crate> {
    let folders = std::fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.join("Cargo.toml").is_file()).collect();
    folders.sort();
    folders.iter().map(|folder| Crate::read(folder)).collect()
}

impl Crate {
    fn read(folder: &Path) -> Crate {
        let src = folder.join("src");
        let mut sources = Sources::new();
        for file in files(&src) {
            let name = slashes(file.strip_prefix(&src).unwrap());
            sources.insert(name, String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned());
        }
        let roots = ["lib.rs", "main.rs"].into_iter().filter(|file| sources.contains_key(*file));
        let trees = roots.map(|file| Tree::new(&sources, file)).collect();
        Crate { name: folder.file_name().unwrap().to_string_lossy().into_owned(), sources, trees }
    }

    /// `file`, which is below `src/`, as a path of the workspace.
    pub fn path(&self, file: &str) -> String {
        format!("crates/{}/src/{file}", self.name)
    }
}

/// Every file below `folder`, sorted; build folders and hidden ones left out.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            match path.is_dir() {
                _ if name == "target" || name.starts_with('.') => {}
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// Every Rust file of every crate, tests and examples too: its path in the workspace and its text.
pub fn rust_files(root: &Path) -> Vec<(String, String)> {
    let rust = files(&root.join("crates")).into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
    let read = |file: PathBuf| (slashes(file.strip_prefix(root).unwrap()), std::fs::read_to_string(file).unwrap());
    rust.map(read).collect()
}

fn slashes(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

pub fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
