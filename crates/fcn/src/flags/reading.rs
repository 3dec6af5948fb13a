//! How photographs are read where their files leave it open.

use segdata::image::{Bands, ReadOptions, Scale16};

/// The flags of every subcommand that reads photographs.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct ReadingFlags {
    /// What becomes white in photographs of 16 bits a sample: the most of so many bits (8 to 16), full for 65535, or used
    /// for the most of the fewest bits (8, 10, 12, 14 or 16) that hold each file's values [default: 65535, and nearly
    /// black files are refused]
    #[arg(long, value_name = "used|full|BITS")]
    scale_16bit: Option<Scale16>,
    /// Bands of a TIFF that are red, green and blue, counted from 1, as 3,2,1, or one that is read as grey [default: those
    /// that the file calls so]
    #[arg(long, value_name = "R,G,B")]
    bands: Option<Bands>,
}

impl ReadingFlags {
    /// The flags as options.
    pub fn options(self) -> ReadOptions {
        ReadOptions { scale_16bit: self.scale_16bit, bands: self.bands, ..ReadOptions::default() }
    }
}
