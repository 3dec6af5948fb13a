//! The finder itself, on crates of a few lines.

use super::circles::{circles, of_files};
use super::syntax::strings;
use super::tree::{Sources, Tree};
use super::uses::uses;
use super::workspace::assert_none;

fn tree(files: &[(&str, &str)]) -> Tree {
    let sources: Sources = files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect();
    Tree::new(&sources, "lib.rs")
}

/// What a crate is an example of, its files, and every use in it.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const CASES: [Case; 15] = [
    (
        "names of a group, renamed or not",
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::{\n b::{B, f as g},\n};"),
            ("b.rs", "use crate::a as other;\nfn f() { other::h() }"),
        ],
        &["a.rs:2 uses b::B", "a.rs:2 uses b::f", "b.rs:2 uses a::h"],
    ),
    (
        "a name that the root lists again is of the module that defines it",
        &[
            ("lib.rs", "mod a; mod error; pub use error::Error as Fault;"),
            ("a.rs", "use crate::Fault;"),
            ("error.rs", "pub struct Error;"),
        ],
        &["a.rs:1 uses error::Error"],
    ),
    (
        "through two folders and a glob",
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "fn f(_: crate::b::Deep) {}"),
            ("b/mod.rs", "mod c; pub use c::*;"),
            ("b/c/mod.rs", "mod d; pub use self::d::Deep;"),
            ("b/c/d.rs", "pub struct Deep;"),
        ],
        &["a.rs:1 uses b::c::d::Deep"],
    ),
    (
        "super, from a file, from an inline module and from a function",
        &[
            ("lib.rs", "mod a; mod b; pub fn root() {}"),
            ("a.rs", "mod inner { use super::super::b::B; }\nfn f() { use super::b::g; g(); super::root() }"),
            ("b.rs", "pub struct B; pub fn g() {}"),
        ],
        &["a.rs:1 uses b::B", "a.rs:2 uses b::g", "a.rs:2 uses crate::root"],
    ),
    (
        "inside of macros: calls, groups, definitions",
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "fn f() { println!(\"{}\", crate::b::N) }\nmacro_rules! m { () => { $crate::b::{g, h}() } }"),
            ("b.rs", "fn x() { vec![super::a::K; 2]; y.a::<u8>(); }"),
        ],
        &["a.rs:1 uses b::N", "a.rs:2 uses b::g", "a.rs:2 uses b::h", "b.rs:1 uses a::K"],
    ),
    (
        "a macro by its name alone, and by a name that is exported",
        &[
            ("lib.rs", "#[macro_use] mod a; mod b; mod c;"),
            ("a.rs", "macro_rules! first { () => {} }\nmacro_rules! second { () => {} }\npub(crate) use second;"),
            ("b.rs", "first!();"),
            ("c.rs", "fn f() { crate::a::second!(); }"),
        ],
        &["b.rs:1 uses a::first", "c.rs:1 uses a::second"],
    ),
    (
        "attributes, and their strings that are paths",
        &[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "struct S {\n #[serde(with = \"crate::b\")]\n s: u8,\n #[arg(value_parser = crate::b::read)]\n t: u8 }",
            ),
            ("b.rs", "pub fn read() {}"),
        ],
        &["a.rs:2 uses b", "a.rs:4 uses b::read"],
    ),
    (
        "code for tests alone uses nothing",
        &[
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod c;"),
            (
                "a.rs",
                "#[cfg(test)] use crate::b::B;\n#[cfg(all(test, unix))] mod tests { use crate::b::B; }\n\
                 #[test] fn t() { crate::b::f() }\nimpl S { #[cfg(test)] fn g() { crate::b::f() } }\n\
                 fn h() { #[cfg(test)] crate::b::f(); #[cfg(test)] let x = crate::b::f(); }\n\
                 #[cfg(not(test))] fn i() { crate::b::f() }",
            ),
            ("b.rs", "pub struct B; pub fn f() {}"),
            ("c.rs", "use crate::a::A;"),
        ],
        &["a.rs:6 uses b::f"],
    ),
    (
        "a glob takes the names that are used, and items of the module itself",
        &[
            ("lib.rs", "mod b; mod c; use b::B; pub use c::C;"),
            ("b.rs", "pub struct B; fn f() { use super::*; let c: C; }"),
            ("c.rs", "use crate::b::*; pub struct C;"),
        ],
        &["lib.rs:1 uses b::B", "b.rs:1 uses c::C", "c.rs:1 uses b::*"],
    ),
    (
        "what a folder's own file lists of its folder is not used, unless it is",
        &[
            ("lib.rs", "mod a; mod z; pub use a::b::B; pub use z::Z;\npub fn f(z: Z) {}"),
            ("a/mod.rs", "pub mod b; pub(crate) use b::B; pub use crate::z::Z;"),
            ("a/b.rs", "pub struct B;"),
            ("z.rs", "pub struct Z;"),
        ],
        &["lib.rs:2 uses z::Z", "a/mod.rs:1 uses z::Z"],
    ),
    (
        "variables, fields, other crates and visibilities use nothing",
        &[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "use crate::b; use std::b::x; use ::b::y;\nfn f(b: u8) { b + s.b + std::b::f(); dbg!(b, s.b) }\n\
                 pub(in crate::b) struct P;",
            ),
            ("b.rs", ""),
        ],
        &[],
    ),
    (
        "a function and a module of one name",
        &[
            ("lib.rs", "mod a; mod size; pub use size::size;"),
            ("a.rs", "use crate::size; fn f() { size(); size::other() }"),
            ("size.rs", "pub fn size() {} pub fn other() {}"),
        ],
        &["a.rs:1 uses size::size", "a.rs:1 uses size::other"],
    ),
    (
        "a name that a macro makes ends at its module",
        &[("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::Made;"), ("b.rs", "make! { Made }")],
        &["a.rs:1 uses b::Made"],
    ),
    (
        "traits, generics, patterns and associated items",
        &[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "impl<T: crate::b::Bound> crate::b::Trait for S<T> {\n fn f() { match x { crate::b::E::V => {} } } }",
            ),
            ("b.rs", "pub enum E { V } pub trait Bound {} pub trait Trait {}"),
        ],
        &["a.rs:1 uses b::Bound", "a.rs:1 uses b::Trait", "a.rs:2 uses b::E"],
    ),
    (
        "imports that lead back to themselves",
        &[
            ("lib.rs", "mod a; mod b; pub use a::*;"),
            ("a.rs", "pub use crate::b::*; fn f() { g() }"),
            ("b.rs", "pub use crate::a::*;"),
        ],
        &["b.rs:1 uses a::*"],
    ),
];

#[test]
fn a_path_leads_to_the_file_that_defines_its_name() {
    let mut wrong = Vec::new();
    for (about, files, expected) in CASES {
        let tree = tree(files);
        let said =
            |used: &super::uses::Use| format!("{}:{} uses {}", tree.modules[used.from].file, used.line, used.name);
        let (mut got, mut expected): (Vec<String>, Vec<&str>) =
            (uses(&tree).iter().map(said).collect(), expected.to_vec());
        got.sort();
        expected.sort();
        if got != expected {
            wrong.push(format!("{about}: {got:#?}, expected {expected:#?}"));
        }
    }
    assert_none(wrong);
}

#[test]
fn a_circle_of_files_is_named_with_its_ties_and_the_shortest_first() {
    let tree = tree(&[
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "use crate::b::B;\npub struct A;"),
        ("b.rs", "use crate::c::C;\npub struct B;"),
        ("c.rs", "use crate::a::A;\nuse crate::d::D;\npub struct C;"),
        ("d.rs", "use crate::c::C;\npub struct D;"),
        ("e.rs", "use crate::a::A;"),
    ]);
    let circles = of_files(&tree).circles();
    assert_eq!(circles.len(), 1);
    assert_eq!(
        circles[0].to_string(),
        "4 in a circle: a.rs, b.rs, c.rs, d.rs\n  the shortest: c.rs -> d.rs -> c.rs\n    c.rs:2 uses d::D\n    \
         d.rs:1 uses c::C\n    a.rs:1 uses b::B\n    b.rs:1 uses c::C\n    c.rs:1 uses a::A\n"
    );
}

#[test]
fn folders_can_be_in_a_circle_whose_files_are_not() {
    let tree = tree(&[
        ("lib.rs", "mod x; mod y; mod z;"),
        ("x/mod.rs", "pub mod one; pub mod two;"),
        ("x/one.rs", "use crate::y::one::Y;"),
        ("x/two.rs", "pub struct X;"),
        ("y/mod.rs", "pub mod one; pub mod two;"),
        ("y/one.rs", "use super::two::T; pub struct Y;"),
        ("y/two.rs", "use crate::x::two::X; pub struct T;"),
        ("z/mod.rs", "pub mod w; pub struct Z; fn f() { w::v::f() }"),
        ("z/w/mod.rs", "pub mod u; pub mod v;"),
        ("z/w/u.rs", "use crate::z::Z;"),
        ("z/w/v.rs", "pub fn f() {}"),
    ]);
    let (files, folders) = circles(&tree);
    assert!(files.is_empty());
    let members: Vec<Vec<&str>> = folders.iter().map(|c| c.members.iter().map(String::as_str).collect()).collect();
    assert_eq!(members, [vec!["x/", "y/"], vec!["z/mod.rs", "z/w/"]]);
}

#[test]
fn strings_are_found_outside_documentation() {
    let text = "/// doc\n#[error(\"one\")]\nstruct S;\nfn f() { g(\"two\"); format!(\"three {}\", [\"four\"]); }\n";
    let found = strings(&syn::parse_file(text).unwrap());
    let expected = [(2, "one"), (4, "two"), (4, "three {}"), (4, "four")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_string())));
}
