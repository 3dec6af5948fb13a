//! Files: what a user named is read with a limit, what others rely on is written whole or not at all.
//!
//! [`read`](mod@read) opens regular files only and never more than was asked for, [`write`](mod@write) makes a file
//! durable before it has its name, [`npy`] is NumPy's array format, and [`path_text`] puts paths into JSON.

pub mod npy;
pub mod path_text;
pub mod read;
pub mod write;
