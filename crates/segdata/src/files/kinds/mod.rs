//! Kinds of files that nothing here reads, known by their first bytes: what each is called, and what makes of it one
//! that is read.
//!
//! The first bytes of a file come in, or all of them; a [`Kind`] goes out, or nothing where they are those of no kind
//! in the tables. Readers look at their own marks first and ask here with what is left, so that a file is said to be
//! what it is, and not a damaged one of another kind.
//!
//! * `table` has a line for each kind: name, sort, remedy, and the bytes by which it is known.
//! * `find` looks them up, and knows what has no fixed bytes: the brands of ISO media files, and text.

mod find;
mod kind;
mod table;

pub use find::kind_of;
pub use kind::{Kind, Sort};
pub(crate) use table::RAW_REMEDY;

#[cfg(test)]
mod tests;
