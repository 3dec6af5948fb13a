//! The masked CRC-32C that guards TFRecords, LevelDB-style blocks and checkpoint tensors.
//!
//! A checksum stored beside the data it covers may itself be checksummed later, and the CRC of data that contains
//! its own CRC is degenerate. LevelDB therefore rotates the sum and adds a constant before it stores it
//! (`util/crc32c.h`); TensorFlow kept the scheme.

/// LevelDB's `kMaskDelta`.
const MASK_DELTA: u32 = 0xa282_ead8;

/// Masks a plain CRC-32C (Castagnoli) sum for storage.
pub(crate) fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(MASK_DELTA)
}

/// The masked CRC-32C of `data`, as stored in files.
pub(crate) fn masked_crc32c(data: &[u8]) -> u32 {
    mask(crc32c::crc32c(data))
}

/// Whether a stored checksum is accepted. A fuzzer cannot guess checksums; it is let through to the parsers behind them.
pub(crate) fn matches(expected: u32, found: u32) -> bool {
    expected == found || cfg!(fuzzing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_match_the_published_vectors() {
        // RFC 3720, appendix B.4: 32 zero bytes, 32 bytes of ones, "123456789".
        let cases: [(&[u8], u32); 3] =
            [(&[0; 32], 0x8a91_36aa), (&[0xff; 32], 0x62a8_ab43), (b"123456789", 0xe306_9283)];
        let wrong: Vec<_> = cases.iter().filter(|(data, crc)| crc32c::crc32c(data) != *crc).collect();
        assert!(wrong.is_empty(), "{wrong:x?}");
        assert_eq!(masked_crc32c(b"hello"), 0x191c_1fbb);
    }
}
