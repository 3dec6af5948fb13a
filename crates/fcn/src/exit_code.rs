//! What the process ends with: one number for each kind of error, as documented for scripts.

use fcn_core::ErrorKind;

/// The exit code of an error of this kind; 0 is for no error.
pub fn exit_code(kind: ErrorKind) -> i32 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::Data => 3,
        ErrorKind::Weights => 4,
        ErrorKind::Io => 5,
        ErrorKind::NonFinite => 6,
        ErrorKind::OutOfMemory => 7,
        ErrorKind::Skipped => 8,
        // As a shell gives them: 128 and the number of the signal.
        ErrorKind::Interrupted => 130,
        ErrorKind::Terminated => 143,
        // A fault of the program itself, and kinds that this program does not know.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_code() {
        let kinds = [
            (ErrorKind::Internal, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::Data, 3),
            (ErrorKind::Weights, 4),
            (ErrorKind::Io, 5),
            (ErrorKind::NonFinite, 6),
            (ErrorKind::OutOfMemory, 7),
            (ErrorKind::Skipped, 8),
            (ErrorKind::Interrupted, 130),
            (ErrorKind::Terminated, 143),
        ];
        for (kind, code) in kinds {
            assert_eq!(exit_code(kind), code, "{kind:?}");
        }
    }
}
