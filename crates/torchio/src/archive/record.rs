//! Signatures and lengths of zip's records, APPNOTE 4.3 and 4.4.

/// End of the central directory: its record, and the longest comment behind it.
pub(crate) const END_BYTES: u64 = 22;
pub(crate) const MAX_COMMENT_BYTES: u64 = 0xffff;
pub(crate) const END_SIGNATURE: u32 = 0x0605_4b50;
pub(crate) const ZIP64_LOCATOR_BYTES: u64 = 20;
pub(crate) const ZIP64_LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
pub(crate) const ZIP64_END_BYTES: u64 = 56;
pub(crate) const ZIP64_END_SIGNATURE: u32 = 0x0606_4b50;
/// Of an entry of the central directory, without name, extra fields and comment.
pub(crate) const ENTRY_BYTES: usize = 46;
pub(crate) const ENTRY_SIGNATURE: u32 = 0x0201_4b50;
/// Of the header before an entry's content, without name and extra fields.
pub(crate) const LOCAL_BYTES: u64 = 30;
pub(crate) const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
/// Identifier and length of an extra field.
pub(crate) const EXTRA_HEADER_BYTES: u64 = 4;
/// A 32-bit field whose value is in the zip64 extra field.
pub(crate) const IN_ZIP64: u64 = 0xffff_ffff;
pub(crate) const ZIP64_EXTRA: u16 = 1;
pub(crate) const ENCRYPTED: u16 = 1;

/// Fields of a fixed record, by offset.
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    /// A little-endian number of `width` bytes, at most 8; 0 beyond the end.
    pub fn number(&self, at: usize, width: usize) -> u64 {
        let mut bytes = [0; 8];
        if let Some(found) = self.0.get(at..at + width) {
            bytes[..width].copy_from_slice(found);
        }
        u64::from_le_bytes(bytes)
    }

    pub fn u16(&self, at: usize) -> u16 {
        self.number(at, 2) as u16
    }

    pub fn u32(&self, at: usize) -> u32 {
        self.number(at, 4) as u32
    }
}
