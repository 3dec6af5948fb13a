//! The rules about how a crate is cut into files and folders.

use super::workspace::{Crate, assert_none, crates, root};
use super::{circles, crowding, face, syntax};

/// The search for what breaks a rule in one crate.
type Rule = fn(&Crate) -> Vec<String>;

fn files_in_circles(member: &Crate) -> Vec<String> {
    member.trees.iter().flat_map(|tree| circles::circles(tree).0).map(|c| format!("{}: {c}", member.name)).collect()
}

fn folders_in_circles(member: &Crate) -> Vec<String> {
    member.trees.iter().flat_map(|tree| circles::circles(tree).1).map(|c| format!("{}: {c}", member.name)).collect()
}

fn crowded_folders(member: &Crate) -> Vec<String> {
    let finding = |(folder, entries): (String, usize)| {
        let (folder, most) = (member.path(&folder), crowding::MAX_ENTRIES);
        format!("{folder}: {entries} files and folders side by side, more than {most}")
    };
    crowding::crowded(&member.sources).into_iter().map(finding).collect()
}

fn folders_without_page(member: &Crate) -> Vec<String> {
    let finding = |(file, lines): (String, usize)| {
        let [least, most] = [crowding::PAGE_LINES.start(), crowding::PAGE_LINES.end()];
        format!("{}: opens with {lines} lines of `//!`, not {least} to {most}", member.path(&file))
    };
    crowding::without_page(&member.sources).into_iter().map(finding).collect()
}

/// Strings of a library that name flags, commands or exit codes of the program.
fn faces(member: &Crate) -> Vec<String> {
    if member.name == "fcn" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (tree, (module, syntax)) in member.trees.iter().flat_map(|tree| tree.files.iter().map(move |f| (tree, f))) {
        let file = member.path(&tree.modules[*module].file);
        for (line, string) in syntax::strings(syntax) {
            found.extend(face::named_in(&string).map(|what| format!("{file}:{line}: {what} in {string:?}")));
        }
    }
    found
}

fn keep(rule: Rule) {
    assert_none(crates(&root()).iter().flat_map(rule).collect());
}

#[test]
fn files_use_each_other_in_no_circle() {
    keep(files_in_circles);
}

#[test]
fn folders_use_each_other_in_no_circle() {
    keep(folders_in_circles);
}

#[test]
fn folders_are_not_crowded() {
    keep(crowded_folders);
}

#[test]
fn folders_open_with_a_page() {
    keep(folders_without_page);
}

#[test]
fn libraries_speak_of_no_program() {
    keep(faces);
}
