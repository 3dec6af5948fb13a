//! What an archive holds: the names of its files in folders, and reading one.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::member::{Member, damaged};
use super::opened::Opened;
use super::{tar, zip};
use crate::error::{Error, ErrorKind, Result};
use crate::files::read as file;

/// Bytes of one file of an archive. No photograph comes near; a few kilobytes of a zip can claim any size.
const MOST_BYTES: u64 = 1 << 30;

/// Bytes of unpacked files that are kept, more only for a single one.
const KEPT_BYTES: usize = 1 << 30;

/// An archive whose directory has been read.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    source: Source,
    files: HashMap<PathBuf, Member>,
    folders: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Unpacked files, the last one that was asked for at the end.
    kept: Mutex<VecDeque<(PathBuf, Arc<[u8]>)>>,
}

/// How the bytes of a file are found.
#[derive(Debug)]
enum Source {
    Zip(zip::Reader),
    Tar,
}

/// The archive at `path`, if the content of the file is that of one.
pub(super) fn sniff(path: &Path) -> Result<Option<Archive>> {
    let mut start = [0; 512];
    let mut opened = file::open(ErrorKind::Data, "the archive", path)?;
    let mut filled = 0;
    while filled < start.len() {
        match opened.read(&mut start[filled..]).map_err(|e| Error::io("read the archive", path, &e))? {
            0 => break,
            n => filled += n,
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return zip::open(path).map(|(reader, members)| Some(Archive::new(path, Source::Zip(reader), members)));
    }
    if start[257..].starts_with(b"ustar") || name.ends_with(".tar") {
        return tar::open(path).map(|members| Some(Archive::new(path, Source::Tar, members)));
    }
    match unread(&start, &name) {
        Some((what, command)) => Err(Error::data(format!("{what} cannot be read where it lies"))
            .at(path)
            .hint(format!("unpack it, `{command}`, and name the folder; zip and plain tar are read as they are"))),
        None => Ok(None),
    }
}

/// Archives that have no directory to read from the middle, and what unpacks them. A compressed file is taken for a tar
/// by its name only: records may be compressed too.
fn unread(start: &[u8], name: &str) -> Option<(&'static str, &'static str)> {
    let tar = [".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"].iter().any(|e| name.ends_with(e));
    match start {
        [b'7', b'z', 0xbc, 0xaf, ..] => Some(("a 7z archive", "7z x FILE")),
        [b'R', b'a', b'r', b'!', ..] => Some(("a RAR archive", "unrar x FILE")),
        _ if tar => Some(("a compressed tar archive", "tar -xf FILE")),
        _ => None,
    }
}

impl Archive {
    fn new(path: &Path, source: Source, members: impl IntoIterator<Item = (PathBuf, Member)>) -> Archive {
        let mut archive = Archive {
            path: path.to_path_buf(),
            source,
            files: HashMap::new(),
            folders: BTreeMap::new(),
            kept: Mutex::default(),
        };
        archive.folders.entry(PathBuf::new()).or_default();
        for (name, member) in members {
            archive.enter(&name);
            archive.files.insert(name, member);
        }
        archive
    }

    /// Names a file in its folder, and that in the folder above.
    fn enter(&mut self, name: &Path) {
        let mut below = name;
        while let Some(folder) = below.parent() {
            if !self.folders.entry(folder.to_path_buf()).or_default().insert(below.to_path_buf()) {
                return;
            }
            below = folder;
        }
    }

    /// The name in the archive of a path that begins with that of the archive.
    fn inside<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.path).ok()
    }

    pub fn is_dir(&self, path: &Path) -> bool {
        self.inside(path).is_some_and(|name| self.folders.contains_key(name))
    }

    pub fn size(&self, path: &Path) -> Option<u64> {
        self.inside(path).and_then(|name| self.files.get(name)).map(|member| member.size)
    }

    pub fn list(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let names = self.inside(dir).and_then(|name| self.folders.get(name));
        let names = names.ok_or_else(|| Error::new(ErrorKind::Io, "no such folder in the archive").at(dir))?;
        Ok(names.iter().map(|name| self.path.join(name)).collect())
    }

    pub fn read(&self, what: &str, path: &Path) -> Result<Vec<u8>> {
        self.read_start(what, path, u64::MAX)
    }

    fn member(&self, what: &str, path: &Path) -> Result<&Member> {
        let member = self.inside(path).and_then(|name| self.files.get(name));
        member.ok_or_else(|| Error::new(ErrorKind::Io, format!("{what} is not in the archive")).at(path))
    }

    pub fn open_file(&self, what: &str, path: &Path) -> Result<Opened> {
        let member = self.member(what, path)?;
        let start = match &self.source {
            Source::Zip(reader) => {
                reader.place(*member).map_err(|e| damaged(&format!("{what} cannot be read: {e}")).at(path))?
            }
            Source::Tar => Some(member.place),
        };
        match start {
            Some(start) => {
                let opened = File::open(&self.path).map_err(|e| Error::io("open the archive", &self.path, &e))?;
                Ok(Opened::part(opened, start, member.size))
            }
            None => self.unpacked(what, path).map(Opened::memory),
        }
    }

    /// The bytes of a file, from those that are kept or unpacked now.
    fn unpacked(&self, what: &str, path: &Path) -> Result<Arc<[u8]>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = kept().iter().find(|(known, _)| known == path) {
            return Ok(bytes.clone());
        }
        let bytes: Arc<[u8]> = self.read(what, path)?.into();
        let mut kept = kept();
        kept.push_back((path.to_path_buf(), bytes.clone()));
        while kept.len() > 1 && kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > KEPT_BYTES {
            kept.pop_front();
        }
        Ok(bytes)
    }

    pub fn read_start(&self, what: &str, path: &Path, count: u64) -> Result<Vec<u8>> {
        let member = self.member(what, path)?;
        let count = count.min(member.size);
        if count > MOST_BYTES {
            let message = format!("{what} has {} bytes; at most {MOST_BYTES} are read from an archive", member.size);
            return Err(Error::data(message).at(path).hint("unpack the archive"));
        }
        let read = match &self.source {
            Source::Zip(reader) => reader.read(*member, count),
            Source::Tar => File::open(&self.path).and_then(|opened| tar::read(opened, *member, count)),
        };
        match read {
            Ok(bytes) if bytes.len() as u64 == count => Ok(bytes),
            Ok(bytes) => Err(damaged(&format!("{what} ends after {} of {count} bytes", bytes.len())).at(path)),
            Err(e) => Err(damaged(&format!("{what} cannot be read: {e}")).at(path)),
        }
    }
}
