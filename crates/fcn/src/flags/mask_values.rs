//! What counts in masks that hold both, an index and a colour.

use clap::ValueEnum;
use segdata::labels::MaskValues;

/// The flag of every subcommand that reads masks.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct MaskValuesFlag {
    /// What counts in palette masks, and in RGB masks of equal channels [default: the index, where the masks of a data set
    /// do not contradict it]
    #[arg(long, value_enum, value_name = "WHAT")]
    mask_values: Option<What>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// The colour of a palette entry
    Colour,
    /// The index, whatever the palettes say; the value of equal channels
    Index,
}

impl MaskValuesFlag {
    /// What was asked for; `None` without the flag.
    pub fn given(self) -> Option<MaskValues> {
        self.mask_values.map(|what| match what {
            What::Colour => MaskValues::Colour,
            What::Index => MaskValues::Index,
        })
    }
}
