//! One error type for the whole product: what went wrong, where, and what to do about it.
//!
//! The kind says what sort of fault it was; the message names the thing and the values found and expected; the hint is
//! the remedy. A hint names an option or an operation of the library in backticks (`batch`, `check`), so that a program can
//! put its own words for them, such as flags. Libraries below (`tfio`, ...) have their own typed errors, converted at the boundary.

use std::fmt;
use std::path::{Path, PathBuf};

/// What sort of fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A fault of the program itself.
    Internal,
    /// An unknown flag or key, or values that do not go together.
    Usage,
    /// Input data that cannot be used: images, masks, lists, records.
    Data,
    /// A weights file or checkpoint that is invalid or does not fit.
    Weights,
    /// The system refused: missing file, full disk, no permission, locked.
    Io,
    /// The loss or a weight became infinite or not a number.
    NonFinite,
    /// Not enough memory.
    OutOfMemory,
    /// Finished, but some items were skipped.
    Skipped,
    /// Stopped by SIGINT, state saved.
    Interrupted,
    /// Stopped by SIGTERM, state saved.
    Terminated,
}

/// An error a user can act on.
#[derive(Clone, Debug)]
pub struct Error {
    /// What sort of fault it was.
    pub kind: ErrorKind,
    /// One sentence: the thing, the value found, the value expected.
    pub message: String,
    /// The file or folder concerned, if there is one.
    pub path: Option<PathBuf>,
    /// The remedy, if there is one.
    pub hint: Option<String>,
}

/// Result with the product's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), path: None, hint: None }
    }

    /// Input data that cannot be used.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// Values that do not go together.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Weights or a checkpoint that cannot be used.
    pub fn weights(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Weights, message)
    }

    /// A fault of the program itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The system refused `action` on `path`.
    pub fn io(action: &str, path: &Path, source: &std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("cannot {action}: {source}")).at(path)
    }

    /// Names the file or folder concerned.
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.path = Some(path.as_ref().to_path_buf());
        self
    }

    /// Adds the remedy.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// `path: message`, without the hint.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: {}", path.display(), self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}
