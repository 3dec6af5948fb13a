//! The tags of a page: an image file directory (TIFF 6.0, section 2; BigTIFF as libtiff describes it).

/// Tags that are read (TIFF 6.0, appendix A; DNG 1.4; TIFF technical note 1 for sub-directories).
pub(super) mod tag {
    pub const NEW_SUBFILE_TYPE: u16 = 254;
    pub const WIDTH: u16 = 256;
    pub const HEIGHT: u16 = 257;
    pub const BITS: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const MAKE: u16 = 271;
    pub const ORIENTATION: u16 = 274;
    pub const SAMPLES: u16 = 277;
    pub const PLANAR: u16 = 284;
    pub const COLOUR_MAP: u16 = 320;
    pub const SUB_DIRECTORIES: u16 = 330;
    pub const EXTRA_SAMPLES: u16 = 338;
    pub const SAMPLE_FORMAT: u16 = 339;
    pub const SUBSAMPLING: u16 = 530;
    pub const DNG_VERSION: u16 = 50706;
}

/// One page's tags.
pub(super) struct Directory<'a> {
    bytes: Reader<'a>,
    entries: Vec<Entry>,
    /// Where the next one lies; 0 after the last.
    next: u64,
}

/// Where a tag's values lie.
struct Entry {
    tag: u16,
    /// Bytes of one value, and whether it is a whole number without sign.
    width: usize,
    count: usize,
    at: usize,
}

/// The bytes of the file in its order of bytes, with offsets of 4 bytes, or of 8 in BigTIFF.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    offset_bytes: usize,
}

impl Reader<'_> {
    /// The whole number of `width` bytes at `at`; `None` behind the end.
    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let found = self.bytes.get(at..at.checked_add(width)?)?;
        let digit = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.big_endian { found.iter().fold(0, digit) } else { found.iter().rev().fold(0, digit) })
    }
}

impl<'a> Directory<'a> {
    /// The first page; `None` where the file ends before it does.
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = bytes.starts_with(b"MM");
        let version = Reader { bytes, big_endian, offset_bytes: 4 }.number(2, 2)?;
        let offset_bytes = if version == 43 { 8 } else { 4 };
        let reader = Reader { bytes, big_endian, offset_bytes };
        Self::at(reader, reader.number(offset_bytes, offset_bytes)?)
    }

    /// The page behind this one.
    pub fn next(&self) -> Option<Self> {
        (self.next > 0).then(|| Self::at(self.bytes, self.next)).flatten()
    }

    fn at(bytes: Reader<'a>, offset: u64) -> Option<Self> {
        let start = usize::try_from(offset).ok()?;
        let (count_bytes, offset_bytes) = if bytes.offset_bytes == 8 { (8, 8) } else { (2, 4) };
        let count = usize::try_from(bytes.number(start, count_bytes)?).ok()?;
        let entry_bytes = 4 + 2 * offset_bytes;
        let first = start + count_bytes;
        let end = first.checked_add(count.checked_mul(entry_bytes)?)?;
        if end > bytes.bytes.len() {
            return None;
        }
        let entries = (first..end).step_by(entry_bytes).filter_map(|at| entry(bytes, at)).collect();
        Some(Directory { bytes, entries, next: bytes.number(end, offset_bytes).unwrap_or(0) })
    }

    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// Whether the page has this tag.
    pub fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// The first value of a tag; `None` where it is missing, no whole number, or behind the end of the file.
    pub fn number(&self, tag: u16) -> Option<u64> {
        let entry = self.entry(tag)?;
        if entry.count == 0 { None } else { self.bytes.number(entry.at, entry.width) }
    }

    /// The values of a tag, at most `limit`.
    pub fn numbers(&self, tag: u16, limit: usize) -> Vec<u64> {
        let Some(entry) = self.entry(tag) else { return Vec::new() };
        let value = |i: usize| self.bytes.number(entry.at.checked_add(i.checked_mul(entry.width)?)?, entry.width);
        (0..entry.count.min(limit)).map_while(value).collect()
    }

    /// The text of a tag, at most 64 bytes; empty where it is missing.
    pub fn text(&self, tag: u16) -> String {
        let bytes: Vec<u8> = self.numbers(tag, 64).into_iter().map(|b| b as u8).take_while(|&b| b > 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where the last byte of a tag's first value that a small number differs in lies.
    pub fn low_byte(&self, tag: u16) -> Option<usize> {
        let entry = self.entry(tag)?;
        Some(if self.bytes.big_endian { entry.at + entry.width - 1 } else { entry.at })
    }
}

fn entry(bytes: Reader<'_>, at: usize) -> Option<Entry> {
    let offset_bytes = bytes.offset_bytes;
    let width = match bytes.number(at + 2, 2)? {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => return None, // readers skip types that they do not know
    };
    let count = usize::try_from(bytes.number(at + 4, offset_bytes)?).ok()?;
    let place = at + 4 + offset_bytes;
    let inside = count.checked_mul(width)? <= offset_bytes;
    let values = if inside { place } else { usize::try_from(bytes.number(place, offset_bytes)?).ok()? };
    Some(Entry { tag: bytes.number(at, 2)? as u16, width, count, at: values })
}
