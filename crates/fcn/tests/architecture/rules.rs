//! The rules about how a crate is cut into files and folders, and what they let pass for now.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::known::{self, Table};
use super::workspace::{Crate, assert_none, crates, root};
use super::{circles, crowding, face, syntax};

/// One thing that breaks a rule.
struct Finding {
    /// What the rule's table lists: a crate, a folder or a file.
    key: String,
    /// What this finding adds to the number in the table.
    weight: usize,
    text: String,
}

/// A rule, its table in `known.rs`, and the search for what breaks it.
struct Rule {
    table: &'static str,
    about: &'static str,
    known: Table,
    find: fn(&Crate) -> Vec<Finding>,
}

const FILES: Rule = Rule {
    table: "FILES_IN_CIRCLES",
    about: "Files that use each other in a circle, for each crate.",
    known: known::FILES_IN_CIRCLES,
    find: |member| of_circles(member, |tree| circles::circles(tree).0),
};

const FOLDERS: Rule = Rule {
    table: "FOLDERS_IN_CIRCLES",
    about: "Folders, and files beside them, that use each other in a circle, for each crate.",
    known: known::FOLDERS_IN_CIRCLES,
    find: |member| of_circles(member, |tree| circles::circles(tree).1),
};

const CROWDED: Rule = Rule {
    table: "CROWDED",
    about: "Entries of the folders that have too many.",
    known: known::CROWDED,
    find: |member| {
        let finding = |(folder, weight): (String, usize)| {
            let key = member.path(&folder);
            let text = format!("{key}: {weight} files and folders side by side, more than {}", crowding::MAX_ENTRIES);
            Finding { key, weight, text }
        };
        crowding::crowded(&member.sources).into_iter().map(finding).collect()
    },
};

const PAGES: Rule = Rule {
    table: "WITHOUT_PAGE",
    about: "Folders whose own file does not open with a page, for each crate.",
    known: known::WITHOUT_PAGE,
    find: |member| {
        let finding = |(file, lines): (String, usize)| {
            let file = member.path(&file);
            let [least, most] = [crowding::PAGE_LINES.start(), crowding::PAGE_LINES.end()];
            let text = format!("{file}: opens with {lines} lines of `//!`, not {least} to {most}");
            Finding { key: member.name.clone(), weight: 1, text }
        };
        crowding::without_page(&member.sources).into_iter().map(finding).collect()
    },
};

const FACES: Rule = Rule {
    table: "FACES",
    about: "Strings of a library that name flags, commands or exit codes, for each file.",
    known: known::FACES,
    find: |member| {
        let mut found = Vec::new();
        for (tree, (module, syntax)) in member.trees.iter().flat_map(|tree| tree.files.iter().map(move |f| (tree, f))) {
            let key = member.path(&tree.modules[*module].file);
            for (line, string) in syntax::strings(syntax).into_iter().filter(|_| member.name != "fcn") {
                if let Some(what) = face::named_in(&string) {
                    let text = format!("{key}:{line}: {what} in {string:?}");
                    found.push(Finding { key: key.clone(), weight: 1, text });
                }
            }
        }
        found
    },
};

fn of_circles(member: &Crate, find: fn(&super::tree::Tree) -> Vec<circles::Circle>) -> Vec<Finding> {
    let finding = |circle: circles::Circle| Finding {
        key: member.name.clone(),
        weight: circle.members.len(),
        text: format!("{}: {circle}", member.name),
    };
    member.trees.iter().flat_map(find).map(finding).collect()
}

/// The sum of weights of each key.
fn totals(findings: &[Finding]) -> BTreeMap<&str, usize> {
    let mut totals = BTreeMap::new();
    for finding in findings {
        *totals.entry(finding.key.as_str()).or_default() += finding.weight;
    }
    totals
}

/// What of `findings` the rule's table does not let pass, and the entries of it that have nothing left.
fn beyond(rule: &Rule, findings: &[Finding]) -> Vec<String> {
    let totals = totals(findings);
    let known = |key: &str| rule.known.iter().find(|(name, _)| *name == key).map_or(0, |(_, most)| *most);
    let mut wrong = Vec::new();
    for (key, total) in totals.iter().filter(|(key, total)| **total > known(key)) {
        let texts = findings.iter().filter(|finding| finding.key == *key).map(|finding| finding.text.as_str());
        wrong.extend(texts.map(str::to_string));
        wrong.push(format!("{}: {total} for {key}, more than {}\n", rule.table, known(key)));
    }
    let stale = rule.known.iter().filter(|(key, _)| !totals.contains_key(key));
    wrong.extend(stale.map(|(key, _)| format!("{}: nothing is left for {key}: take its entry out", rule.table)));
    wrong
}

fn keep(rule: Rule) {
    let findings: Vec<Finding> = crates(&root()).iter().flat_map(rule.find).collect();
    assert_none(beyond(&rule, &findings));
}

/// Everything that breaks a rule in these crates, and the tables of `known.rs` that would let it pass.
pub fn report(crates: &[Crate]) -> String {
    let (mut text, mut tables) = (String::new(), String::new());
    for rule in [FILES, FOLDERS, CROWDED, PAGES, FACES] {
        let findings: Vec<Finding> = crates.iter().flat_map(rule.find).collect();
        let _ = writeln!(text, "== {}", rule.about);
        findings.iter().for_each(|finding| text += &format!("{}\n", finding.text));
        let entries: Vec<String> =
            totals(&findings).iter().map(|(key, total)| format!("    (\"{key}\", {total}),\n")).collect();
        let list = if entries.is_empty() { String::new() } else { format!("\n{}", entries.concat()) };
        tables += &format!("\n/// {}\npub const {}: Table = &[{list}];\n", rule.about, rule.table);
    }
    text + &tables
}

#[test]
fn files_use_each_other_in_no_circle() {
    keep(FILES);
}

#[test]
fn folders_use_each_other_in_no_circle() {
    keep(FOLDERS);
}

#[test]
fn folders_are_not_crowded() {
    keep(CROWDED);
}

#[test]
fn folders_open_with_a_page() {
    keep(PAGES);
}

#[test]
fn libraries_speak_of_no_program() {
    keep(FACES);
}

/// `ARCH_PRINT=1` prints everything that breaks a rule, `ARCH_PRINT=segdata` what does in that crate.
#[test]
fn findings_are_printed_on_request() {
    let Ok(only) = std::env::var("ARCH_PRINT") else { return };
    let mut members = crates(&root());
    members.retain(|member| only == "1" || member.name == only);
    println!("{}", report(&members));
}

#[test]
fn a_table_lets_no_more_pass_than_it_lists() {
    let rule = |known| Rule { known, ..CROWDED };
    let finding = |key: &str, weight| Finding { key: key.to_string(), weight, text: format!("{key} is crowded") };
    let findings = [finding("a", 20), finding("b", 15)];
    let mut wrong = Vec::new();
    let cases: [(Table, &[&str]); 4] = [
        (&[("a", 20), ("b", 16)], &[]),
        (&[("a", 20)], &["b is crowded", "CROWDED: 15 for b, more than 0\n"]),
        (&[("a", 19), ("b", 15)], &["a is crowded", "CROWDED: 20 for a, more than 19\n"]),
        (&[("a", 20), ("b", 15), ("c", 15)], &["CROWDED: nothing is left for c: take its entry out"]),
    ];
    for (known, expected) in cases {
        let got = beyond(&rule(known), &findings);
        if got != expected {
            wrong.push(format!("{known:?}: {got:?}, expected {expected:?}"));
        }
    }
    assert_none(wrong);
}
