//! Reading files that a user named: regular ones only, since opening a pipe waits for a writer and a device has no end.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Bytes that are read at once at most. No photograph or list comes near; a sparse file of a terabyte does not end the
/// process.
pub const MAX_BYTES: u64 = 4 << 30;

/// Opens a regular file; `what` names it in errors ("the mask").
///
/// # Errors
/// What the system refuses; a folder, a pipe or a device (an error of `kind`).
pub fn open(kind: ErrorKind, what: &str, path: &Path) -> Result<File> {
    let fault = |e: std::io::Error| Error::io(&format!("read {what}"), path, &e);
    // Checked before it is opened: opening a pipe blocks.
    if !std::fs::metadata(path).map_err(fault)?.is_file() {
        let message = format!("{what} is not a regular file, but a folder, a pipe or a device");
        return Err(Error::new(kind, message).at(path));
    }
    File::open(path).map_err(fault)
}

/// Hands everything that `reader` gives to `take`, a block at a time.
///
/// # Errors
/// What the system refuses.
pub fn each_block(reader: &mut impl Read, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    /// Enough for several threads to share.
    const BLOCK_BYTES: usize = 4 << 20;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match reader.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&block[..count]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// All bytes of a regular file.
///
/// # Errors
/// What the system refuses; a file that is not regular, or of more than [`MAX_BYTES`] (an error of kind
/// [`ErrorKind::Data`]).
pub fn read(what: &str, path: &Path) -> Result<Vec<u8>> {
    read_at_most(MAX_BYTES, what, path)
}

/// All bytes of a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_at_most(limit: u64, what: &str, path: &Path) -> Result<Vec<u8>> {
    let fault = |e: std::io::Error| Error::io(&format!("read {what}"), path, &e);
    let file = open(ErrorKind::Data, what, path)?;
    let length = file.metadata().map_err(fault)?.len();
    if length > limit {
        return Err(Error::data(format!("{what} has {length} bytes; at most {limit} are read at once")).at(path));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(fault)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, b"a\n").unwrap();
        assert_eq!(read("the list", &path).unwrap(), b"a\n");
        assert_eq!(read("the list", folder.path()).unwrap_err().kind, ErrorKind::Data);
        assert_eq!(read("the list", &folder.path().join("none")).unwrap_err().kind, ErrorKind::Io);
        #[cfg(unix)]
        {
            let pipe = folder.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let zero = Path::new("/dev/zero");
            for path in [&pipe, zero] {
                let error = read("the list", path).unwrap_err();
                assert!(error.message.contains("not a regular file"), "{error}");
            }
        }
        let sparse = File::create(folder.path().join("sparse")).unwrap();
        sparse.set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(read("the list", &folder.path().join("sparse")).unwrap_err().kind, ErrorKind::Data);
        assert_eq!(read_at_most(2, "the list", &path).unwrap(), b"a\n");
        let error = read_at_most(1, "the list", &path).unwrap_err();
        assert!(error.message.contains("has 2 bytes; at most 1"), "{error}");
    }
}
