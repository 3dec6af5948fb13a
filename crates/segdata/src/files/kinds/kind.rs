//! What is said of a kind of file.

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What it is, with its article: `a JPEG 2000 image`.
    pub name: &'static str,
    /// What sort of thing it holds.
    pub sort: Sort,
    /// What makes of it a photograph or a mask, or otherwise what to do about it.
    pub remedy: &'static str,
}

/// What sort of thing a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A picture, a drawing, or a page.
    Picture,
    /// Pictures in time.
    Video,
    /// Volumes, arrays and tables.
    Arrays,
    /// A network with its weights.
    Network,
    /// What Python's `pickle` writes: anything, weights among them.
    Pickle,
    /// A zip archive: `torch.save` and Keras write weights as one.
    Zip,
    /// A tar archive.
    Tar,
    /// Any other archive.
    Archive,
    /// Words for people or programs.
    Text,
    /// Anything else.
    Other,
}
