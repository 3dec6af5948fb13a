//! Archives written here, whole and broken, read as the folders they were made of.

use std::io::{Cursor, Write};
use std::path::Path;

use super::*;

/// A zip archive of `files`: every second deflated, the others stored.
pub(crate) fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (i, (name, bytes)) in files.iter().enumerate() {
        let method = [::zip::CompressionMethod::Deflated, ::zip::CompressionMethod::Stored][i % 2];
        let how = ::zip::write::SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, how).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A tar archive of `files`.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn written(bytes: &[u8], name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn an_archive_is_listed_and_read_as_the_folder_it_was_made_of() {
    let long = format!("set/{}/a.txt", "deep".repeat(40));
    let files: [(&str, &[u8]); 4] = [
        ("set/images/b.jpg", b"photograph"),
        ("set/images/a ü.jpg", &[7; 100_000]),
        ("set/classes.txt", b"0 a\n"),
        (&long, b""),
    ];
    for (bytes, name) in [(zip_of(&files), "data.zip"), (tar_of(&files), "data.tar")] {
        let (_dir, path) = written(&bytes, name);
        let tree = Tree::open(&path).unwrap();
        assert!(tree.is_archive() && tree.is_dir(&path) && tree.is_dir(&path.join("set/images")), "{name}");
        assert!(!tree.is_dir(&path.join("set/classes.txt")) && tree.is_file(&path.join("set/classes.txt")));
        let listed = tree.list(&path.join("set/images")).unwrap();
        assert_eq!(listed, [path.join("set/images/a ü.jpg"), path.join("set/images/b.jpg")], "{name}");
        for (file, bytes) in files {
            let place = path.join(file);
            assert_eq!(tree.size(&place), Some(bytes.len() as u64));
            assert_eq!(tree.read("the file", &place).unwrap(), bytes, "{name}: {file}");
            assert_eq!(tree.read_start("the file", &place, 5).unwrap(), bytes[..bytes.len().min(5)]);
        }
        assert_eq!(tree.read("the file", &path.join("set/none")).unwrap_err().kind, ErrorKind::Io);
        assert!(tree.list(&path.join("none")).is_err());
    }
}

#[test]
fn archives_are_read_by_many_threads_at_once() {
    let contents: Vec<(String, Vec<u8>)> = (0..64u8).map(|i| (format!("f{i}"), vec![i; 70_000])).collect();
    let files: Vec<(&str, &[u8])> = contents.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    let (_dir, path) = written(&zip_of(&files), "data.zip");
    let tree = Tree::open(&path).unwrap();
    let same = |(name, bytes): &(&str, &[u8])| tree.read("the file", &path.join(name)).unwrap() == *bytes;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| files.iter().all(same))).collect();
        assert!(workers.into_iter().all(|w| w.join().unwrap()));
    });
}

#[test]
fn what_is_wrong_with_an_archive_is_said() {
    let files: [(&str, &[u8]); 2] = [("a", &[1; 5000]), ("b", b"stored whole")];
    let (zip, tar) = (zip_of(&files), tar_of(&files));
    let mut flipped = zip.clone();
    let stored = flipped.windows(6).position(|w| w == b"stored").unwrap();
    flipped[stored] = b'S';
    let leaving = zip_of(&[("../a", b"")]);
    let seven = [b"7z\xbc\xaf\x27\x1c".as_slice(), &[0; 600]].concat();
    // content, name, what the error of opening or of reading `b` says
    let cases: [(&[u8], &str, &str); 8] = [
        (&zip[..zip.len() - 30], "cut.zip", "damaged"),
        (&flipped, "flipped.zip", "damaged"),
        (&leaving, "leaving.zip", "leads out"),
        (&tar[..4000], "cut.tar", "damaged"),
        (&[b'x'; 600], "none.tar", "damaged"),
        (&seven, "data.7z", "7z archive"),
        (b"\x1f\x8b\x08rest of it", "data.tar.gz", "compressed tar"),
        (b"\x1f\x8b\x08rest of it", "data.tgz", "compressed tar"),
    ];
    let mut failures = Vec::new();
    for (bytes, name, expected) in cases {
        let (_dir, path) = written(bytes, name);
        let found = Tree::open(&path).and_then(|tree| tree.read("the file", &path.join("b")));
        match found {
            Err(e) if e.message.contains(expected) && e.hint.is_some() => {}
            other => failures.push(format!("{name}: {other:?}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn no_start_of_an_archive_ends_in_a_panic() {
    let files: [(&str, &[u8]); 2] = [("a/b", &[1; 300]), ("c", b"text")];
    for (bytes, name) in [(zip_of(&files), "cut.zip"), (tar_of(&files), "cut.tar")] {
        for end in (0..bytes.len()).step_by(7) {
            let (_dir, path) = written(&bytes[..end], name);
            if let Ok(tree) = Tree::open(&path) {
                tree.read("the file", &path.join("c")).ok();
            }
        }
    }
    assert!(Tree::open(Path::new("nothing/there")).is_ok_and(|tree| !tree.is_dir(tree.root())));
}
