//! How photographs are read where their files leave it open: samples of 16 bits, and more bands than three.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Images with more pixels than this are refused unless the caller says otherwise: 256 Mpx, that is 768 MB of RGB.
pub const DEFAULT_MAX_PIXELS: u64 = 256_000_000;

/// How photographs are read where their files leave it open. By default nothing is assumed: what cannot be read without
/// is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// What becomes white in photographs of 16 bits a sample.
    pub scale_16bit: Option<Scale16>,
    /// The bands of a TIFF that are red, green and blue. Other formats say it themselves.
    pub bands: Option<Bands>,
    /// Pixels that a photograph may have.
    pub max_pixels: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions { scale_16bit: None, bands: None, max_pixels: DEFAULT_MAX_PIXELS }
    }
}

/// The value of a 16-bit sample that becomes 255; others are scaled with it and rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale16 {
    /// 65535: what the format says.
    Full,
    /// The most that fits in the fewest bits that hold the file's greatest value, of 8, 10, 12, 14 or 16. Files of one
    /// camera with different greatest values may get different scales; [`Scale16::Bits`] is the same for all.
    Used,
    /// The most that fits in so many bits, 8 to 16: 4095 for 12. A greater value is an error.
    Bits(u8),
}

/// The depths of sensors, which [`Scale16::Used`] chooses from.
const SENSOR_BITS: [u8; 5] = [8, 10, 12, 14, 16];

/// A 16-bit photograph whose greatest value is below this, and not 0, is refused unless the scale is said: it is
/// 2^14, so that every sensor of up to 14 bits is recognised whatever it saw. A photograph that fills 16 bits stays below
/// a quarter of the range only where nothing in it is light, and then it is as well to ask.
const LEAST_OF_FULL_RANGE: u16 = 1 << 14;

impl ReadOptions {
    /// The value that becomes 255 in a 16-bit photograph whose greatest value is `greatest`.
    ///
    /// # Errors
    /// No scale is said, and the values would be nearly black on that of the format; values beyond the bits that are
    /// said. Both name the greatest value.
    pub fn white(&self, greatest: u16) -> Result<u16> {
        match self.scale_16bit {
            None if (1..LEAST_OF_FULL_RANGE).contains(&greatest) => {
                let bits = fewest_bits(greatest);
                Err(Error::data(format!(
                    "its samples have more than 8 bits, and the greatest is {greatest} of 65535: read as they are, the photograph \
                     would be nearly black"
                ))
                .hint(format!(
                    "say how many bits are used, as `scale_16bit {bits}` (`scale_16bit used` looks at each file by itself), \
                     or `scale_16bit full` to read it as dark as that"
                )))
            }
            None | Some(Scale16::Full) => Ok(u16::MAX),
            Some(Scale16::Used) => Ok(most_of_bits(fewest_bits(greatest))),
            Some(Scale16::Bits(bits)) if greatest > most_of_bits(bits) => Err(Error::data(format!(
                "its greatest sample is {greatest}, above {}, the most of {bits} bits",
                most_of_bits(bits)
            ))
            .hint(format!("give more bits: `scale_16bit {}`", fewest_bits(greatest)))),
            Some(Scale16::Bits(bits)) => Ok(most_of_bits(bits)),
        }
    }
}

/// The fewest bits of a sensor that hold `greatest`.
pub(crate) fn fewest_bits(greatest: u16) -> u8 {
    SENSOR_BITS.into_iter().find(|&bits| greatest <= most_of_bits(bits)).unwrap_or(16)
}

fn most_of_bits(bits: u8) -> u16 {
    u16::MAX >> (16 - bits.clamp(1, 16))
}

/// `full`, `used`, or a number of bits.
impl FromStr for Scale16 {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match (word, word.parse()) {
            ("full", _) => Ok(Scale16::Full),
            ("used", _) => Ok(Scale16::Used),
            (_, Ok(bits @ 8..=16)) => Ok(Scale16::Bits(bits)),
            _ => Err(Error::usage(format!("{word}: expected used, full, or a number of bits from 8 to 16"))),
        }
    }
}

/// Which bands of a TIFF are red, green and blue, counted from 1; one band for all three is grey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bands([u16; 3]);

impl Bands {
    /// Red, green and blue, counted from 0.
    pub(super) fn indices(self) -> [usize; 3] {
        self.0.map(|band| usize::from(band).saturating_sub(1))
    }

    /// The greatest number of a band.
    pub(super) fn last(self) -> u16 {
        self.0.into_iter().max().unwrap_or_default()
    }
}

/// `3,2,1`, or `4` for grey.
impl FromStr for Bands {
    type Err = Error;

    fn from_str(words: &str) -> Result<Self> {
        let numbers: Option<Vec<u16>> =
            words.split(',').map(|word| word.trim().parse().ok().filter(|&band| band > 0)).collect();
        match numbers.as_deref() {
            Some(&[red, green, blue]) => Ok(Bands([red, green, blue])),
            Some(&[grey]) => Ok(Bands([grey; 3])),
            _ => Err(Error::usage(format!(
                "{words}: expected the numbers of three bands from 1, separated by commas, or of one"
            ))
            .hint("for example 3,2,1 where the file holds blue, green and red in this order")),
        }
    }
}

impl fmt::Display for Bands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [red, green, blue] if red == green && green == blue => write!(f, "{red}"),
            [red, green, blue] => write!(f, "{red},{green},{blue}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_decides_what_is_white() {
        let white = |scale_16bit, greatest| ReadOptions { scale_16bit, ..ReadOptions::default() }.white(greatest);
        let cases = [
            (None, 0, Some(65535)),
            (None, 1, None),
            (None, 16383, None),
            (None, 16384, Some(65535)),
            (Some(Scale16::Full), 7, Some(65535)),
            (Some(Scale16::Used), 0, Some(255)),
            (Some(Scale16::Used), 255, Some(255)),
            (Some(Scale16::Used), 256, Some(1023)),
            (Some(Scale16::Used), 4095, Some(4095)),
            (Some(Scale16::Used), 4096, Some(16383)),
            (Some(Scale16::Used), 65535, Some(65535)),
            (Some(Scale16::Bits(12)), 0, Some(4095)),
            (Some(Scale16::Bits(12)), 4095, Some(4095)),
            (Some(Scale16::Bits(12)), 4096, None),
            (Some(Scale16::Bits(16)), 4096, Some(65535)),
        ];
        for (scale, greatest, expected) in cases {
            assert_eq!(white(scale, greatest).ok(), expected, "{scale:?}, {greatest}");
        }
        let refused = white(None, 4095).unwrap_err();
        assert!(refused.message.contains("4095 of 65535"), "{refused}");
        let hint = refused.hint.unwrap();
        assert!(["`scale_16bit 12`", "`scale_16bit used`", "`scale_16bit full`"].iter().all(|w| hint.contains(w)));
    }

    #[test]
    fn words_are_read_or_refused() {
        for (word, expected) in
            [("full", Some(Scale16::Full)), ("used", Some(Scale16::Used)), ("12", Some(Scale16::Bits(12)))]
        {
            assert_eq!(word.parse::<Scale16>().ok(), expected);
        }
        assert!(["", "7", "17", "-1", "half", "12bit"].iter().all(|word| word.parse::<Scale16>().is_err()));
        for (words, indices) in [("3,2,1", [2, 1, 0]), ("4", [3, 3, 3]), ("1, 2, 65535", [0, 1, 65534])] {
            assert_eq!(words.parse::<Bands>().unwrap().indices(), indices);
        }
        assert_eq!("4".parse::<Bands>().unwrap().to_string(), "4");
        assert!(["", "0", "1,2", "1,2,3,4", "a,b,c", "1,2,65536"].iter().all(|words| words.parse::<Bands>().is_err()));
    }
}
