//! A file's contents as memory: pages come from the system's cache when they are used, and nothing is copied.

use std::fs::File;

use bytes::Bytes;
use memmap2::Mmap;

/// Maps the whole of a regular file for reading. The memory is given back when the last part of it is dropped.
///
/// The contents are those of the file at any moment: whoever writes into it changes them, and whoever cuts it off makes the
/// next read of the lost part fatal. Files that are replaced by renaming another over them, as everything this program
/// writes is, stay as they were mapped.
///
/// # Errors
/// What the system refuses.
pub fn map(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the memory is only ever read, as bytes or as numbers for which every bit pattern is valid, and it lives as
    // long as the mapping, which the result owns. That no other process writes into the file meanwhile is what the
    // documentation above asks for; it cannot be enforced.
    #[allow(unsafe_code)]
    let mapping = unsafe { Mmap::map(file)? };
    Ok(Bytes::from_owner(mapping))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_outlives_its_name_and_its_replacement() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 10_000]).unwrap();
        let mapped = map(&File::open(&path).unwrap()).unwrap();
        let part = mapped.slice(5_000..5_003);
        std::fs::write(folder.path().join("new"), [8; 3]).unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        drop(mapped);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(part[..], [7; 3]);
    }
}
