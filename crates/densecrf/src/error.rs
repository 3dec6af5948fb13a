//! One error per way in which a problem cannot be posed.

/// Why a CRF was refused. Every fault is found before inference starts, so that a result never holds a NaN.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CrfError {
    /// Width, height or number of labels is zero.
    #[error("the CRF has {width} x {height} pixels and {labels} labels; each of the three must be at least 1")]
    Empty {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Number of labels.
        labels: usize,
    },
    /// More labels than a label map of `u16` can name.
    #[error("{labels} labels were asked for; at most 65536 are supported: merge classes before the CRF")]
    TooManyLabels {
        /// Number of labels asked for.
        labels: usize,
    },
    /// Pixels, pixel-label pairs or simplex vertices leave the 32-bit index range.
    #[error(
        "a {width} x {height} image needs {needed} {of}, and indices end at {limit}: downscale the image or cut it into tiles"
    )]
    TooLarge {
        /// What is counted.
        of: &'static str,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// How many there would be.
        needed: u128,
        /// How many there can be.
        limit: u64,
    },
    /// The memory estimate is over the limit.
    #[error(
        "inference would need about {} MiB, and the limit is {} MiB: downscale the image, cut it into tiles or raise the limit with `memory_limit`",
        needed >> 20,
        limit >> 20
    )]
    Memory {
        /// Estimated bytes.
        needed: u64,
        /// Permitted bytes.
        limit: u64,
    },
    /// A slice does not have the length that width, height and labels imply.
    #[error(
        "{what} has {found} values; {width} x {height} pixels with {per_pixel} per pixel need {expected}: {remedy}"
    )]
    Size {
        /// The offending input.
        what: &'static str,
        /// Values found.
        found: usize,
        /// Values expected.
        expected: usize,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Values expected for each pixel.
        per_pixel: usize,
        /// What to check first.
        remedy: &'static str,
    },
    /// A probability outside [0, 1] by more than rounding, or NaN.
    #[error(
        "the probability of label {label} at x {x}, y {y} is {value}; expected 0 to 1: if these are logits, apply a softmax first"
    )]
    Probability {
        /// Label index.
        label: usize,
        /// Column.
        x: usize,
        /// Row.
        y: usize,
        /// The value found.
        value: f32,
    },
    /// The lower bound for probabilities is not in [0, 1].
    #[error("probabilities would be clipped from below at {clip}; expected 0 (no clipping) to 1, usually 1e-5")]
    Clip {
        /// The value found.
        clip: f32,
    },
    /// An energy that is NaN, minus infinity or beyond 1e30 in size.
    #[error(
        "the energy of label {label} at x {x}, y {y} is {value}; expected a number of at most 1e30 in size, or +infinity for an impossible label"
    )]
    Energy {
        /// Label index.
        label: usize,
        /// Column.
        x: usize,
        /// Row.
        y: usize,
        /// The value found.
        value: f32,
    },
    /// Every label of a pixel is impossible.
    #[error(
        "all labels at x {x}, y {y} have probability 0 (infinite energy); at least one must be possible: clip the probabilities, for instance at 1e-5"
    )]
    Impossible {
        /// Column.
        x: usize,
        /// Row.
        y: usize,
    },
    /// A label map holds a label outside the range.
    #[error("the label at x {x}, y {y} is {value}; expected 0 to {}, or `None` for an unknown pixel", labels - 1)]
    Label {
        /// Column.
        x: usize,
        /// Row.
        y: usize,
        /// The value found.
        value: u16,
        /// Number of labels.
        labels: usize,
    },
    /// The confidence in a label map is not strictly between 0 and 1.
    #[error("the confidence in the given labels is {value}; expected more than 0 and less than 1, for instance 0.7")]
    Confidence {
        /// The value found.
        value: f32,
    },
    /// Inference was asked for before unary energies were given.
    #[error("no unary energies were given: call `unary` before `inference`")]
    MissingUnary,
    /// A standard deviation that is zero, negative, subnormal, infinite or NaN.
    #[error("{name} is {value}; a standard deviation must be a positive, finite number")]
    Sigma {
        /// Which one.
        name: &'static str,
        /// The value found.
        value: f32,
    },
    /// A compatibility value that is not finite or is beyond 1e30 in size.
    #[error("compatibility value {index} is {value}; expected a finite number of at most 1e30 in size")]
    Compatibility {
        /// Position in the vector or, row by row, in the matrix.
        index: usize,
        /// The value found.
        value: f32,
    },
    /// A compatibility vector or matrix of the wrong size.
    #[error("the compatibility {kind} has {found} values; {labels} labels need {expected}")]
    CompatibilitySize {
        /// `"vector"` or `"matrix"`.
        kind: &'static str,
        /// Values found.
        found: usize,
        /// Values expected.
        expected: usize,
        /// Number of labels.
        labels: usize,
    },
    /// Lattice coordinates would leave the 16-bit range that the lattice is defined on.
    #[error(
        "{kernel} kernel: the standard deviations are so small that lattice coordinates reach {reach}, and 16 bits end at {limit}: use larger ones (the smallest matters most)"
    )]
    KeyOverflow {
        /// `"gaussian"` or `"bilateral"`.
        kernel: &'static str,
        /// Largest coordinate that can occur.
        reach: u64,
        /// Largest permitted coordinate.
        limit: u64,
    },
}
