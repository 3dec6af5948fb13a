//! How much lies side by side in a crate, and whether each folder says what it holds.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Sources;

/// No folder has more files and folders side by side.
pub const MAX_ENTRIES: usize = 14;

/// The lines of the page at the top of a folder's own file.
pub const PAGE_LINES: std::ops::RangeInclusive<usize> = 3..=60;

/// The entries of each folder below `src/`; the name of `src/` itself is empty, others end in `/`.
fn folders(sources: &Sources) -> BTreeMap<String, BTreeSet<&str>> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for file in sources.keys() {
        let mut folder = String::new();
        for name in file.split('/') {
            found.entry(folder.clone()).or_default().insert(name);
            folder.push_str(name);
            folder.push('/');
        }
    }
    found
}

/// Folders below `src/` with too many entries, and how many.
pub fn crowded(sources: &Sources) -> Vec<(String, usize)> {
    let counts = folders(sources).into_iter().map(|(folder, entries)| (folder, entries.len()));
    counts.filter(|(_, entries)| *entries > MAX_ENTRIES).collect()
}

/// The own files of folders that do not open with a page, and with how many lines of `//!` they do.
pub fn without_page(sources: &Sources) -> Vec<(String, usize)> {
    let has_modules = |folder: &str| sources.keys().any(|file| file.starts_with(folder) && file.ends_with(".rs"));
    let mut found = Vec::new();
    for folder in folders(sources).into_keys().filter(|folder| has_modules(folder)) {
        let own = match folder.as_str() {
            "" => ["lib.rs".to_string(), "main.rs".to_string()],
            folder => [format!("{folder}mod.rs"), format!("{}.rs", folder.trim_end_matches('/'))],
        };
        let own = own.iter().find(|file| sources.contains_key(*file)).unwrap_or(&own[0]);
        let text = sources.get(own).map_or("", String::as_str);
        let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
        if !PAGE_LINES.contains(&lines) {
            found.push((own.clone(), lines));
        }
    }
    found
}

#[test]
fn folders_are_counted_with_their_own_file_and_their_folders() {
    let page = "//! One.\n//! Two.\n//! Three.\n";
    let mut sources = Sources::from([("lib.rs".to_string(), page.to_string())]);
    for file in ["a/mod.rs", "a/style.css", "b.rs", "b/inner.rs", "c/text.md"] {
        sources.insert(file.to_string(), "//! One.\n\n//! Two.\n".to_string());
    }
    (0..13).for_each(|i| drop(sources.insert(format!("a/file{i}.rs"), String::new())));
    assert_eq!(crowded(&sources), [("a/".to_string(), 15)]);
    assert_eq!(without_page(&sources), [("a/mod.rs".to_string(), 1), ("b.rs".to_string(), 1)]);
}
