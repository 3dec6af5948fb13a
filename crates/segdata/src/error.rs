//! One error type for the whole product: what went wrong, where, and what to do about it.
//!
//! The kind is for programs; the message names the thing and the values found and expected; the hint is the remedy. A hint
//! names an option or an operation of the library in backticks (`batch`, `check`), so that a program can put its own words
//! for them, such as flags. What the system said is kept as [`source`](std::error::Error::source). Libraries below (`tfio`,
//! ...) have their own typed errors, converted at the boundary.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What sort of fault it was.
#[non_exhaustive]
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
    /// The loss or a weight became infinite or NaN.
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
    /// What the system said where it refused something.
    source: Option<Arc<std::io::Error>>,
}

/// Result with the product's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), path: None, hint: None, source: None }
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

    /// The system refused `action` on `path`; the message says why, and [`source`](std::error::Error::source) keeps it.
    pub fn io(action: &str, path: &Path, source: &std::io::Error) -> Self {
        let error = Self::new(ErrorKind::Io, format!("cannot {action}: {source}")).at(path);
        Error { source: Some(Arc::new(copy(source))), ..error }
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

impl std::error::Error for Error {
    /// What the system said where it refused something; `None` otherwise. [`Display`](fmt::Display) says it too.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// An error of the same kind, code and text; `io::Error` is not `Clone`.
fn copy(error: &std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(code) => std::io::Error::from_raw_os_error(code),
        None => std::io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn what_the_system_said_is_the_source() {
        let path = Path::new("photographs");
        let invented = std::io::Error::new(std::io::ErrorKind::TimedOut, "the line is slow");
        for refused in [std::io::Error::from_raw_os_error(2), invented] {
            let error = Error::io("read the photograph", path, &refused).hint("try again").clone();
            let source = error.source().and_then(|s| s.downcast_ref::<std::io::Error>()).unwrap();
            assert_eq!((source.kind(), source.raw_os_error()), (refused.kind(), refused.raw_os_error()));
            assert_eq!(error.to_string(), format!("photographs: cannot read the photograph: {refused}"));
        }
        assert!(Error::data("no photograph").source().is_none());
    }
}
