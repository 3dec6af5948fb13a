//! What is still to be mended. An entry is the most that a rule lets pass, and one with nothing left fails: the tables
//! only get shorter, and a crate without an entry keeps the rule. With the variable `ARCH_PRINT` the tests print them
//! anew. One entry a line, so that two crates can be mended at the same time.

pub type Table = &'static [(&'static str, usize)];

/// Files that use each other in a circle, for each crate.
pub const FILES_IN_CIRCLES: Table = &[
    ("fcn", 17),
];

/// Folders, and files beside them, that use each other in a circle, for each crate.
pub const FOLDERS_IN_CIRCLES: Table = &[
    ("fcn", 15),
];

/// Entries of the folders that have too many.
pub const CROWDED: Table = &[
    ("crates/fcn/src/commands/", 16),
];

/// Folders whose own file does not open with a page, for each crate.
pub const WITHOUT_PAGE: Table = &[
    ("conv-kernels", 3),
    ("fcn", 5),
    ("fcn-core", 1),
];

/// Strings of a library that name flags, commands or exit codes, for each file.
pub const FACES: Table = &[
    ("crates/fcn-core/src/device/choice.rs", 1),
    ("crates/fcn-core/src/evaluate/network.rs", 1),
    ("crates/fcn-core/src/export/state_dict/names.rs", 1),
    ("crates/fcn-core/src/export/target.rs", 3),
    ("crates/fcn-core/src/import/plan.rs", 10),
    ("crates/fcn-core/src/infer/crf.rs", 2),
    ("crates/fcn-core/src/loss.rs", 1),
    ("crates/fcn-core/src/train/checkpoint.rs", 3),
    ("crates/fcn-core/src/train/optim.rs", 1),
    ("crates/fcn-core/src/train/run.rs", 10),
    ("crates/fcn-core/src/train/stages.rs", 1),
    ("crates/fcn-core/src/train/starting_weights.rs", 3),
    ("crates/fcn-core/src/weights/header.rs", 2),
    ("crates/segdata/src/check/rules.rs", 2),
    ("crates/segdata/src/convert/report.rs", 1),
    ("crates/segdata/src/convert/run.rs", 2),
    ("crates/segdata/src/convert/shards.rs", 3),
    ("crates/segdata/src/dataset/explain.rs", 1),
    ("crates/segdata/src/dataset/layouts/records/index.rs", 1),
    ("crates/segdata/src/dataset/layouts/records/list.rs", 1),
    ("crates/segdata/src/image/mask.rs", 1),
];
