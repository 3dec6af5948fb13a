//! Flags that take the size of an image.

use fcn_core::{Error, Result};

/// Height and width in pixels, from `512x512`.
///
/// # Errors
/// Anything but two numbers of 1 to 20000.
pub fn parse_size(text: &str) -> Result<[usize; 2]> {
    let parts: Vec<usize> = text.split('x').filter_map(|part| part.parse().ok()).collect();
    match parts[..] {
        [height, width] if (1..=20_000).contains(&height) && (1..=20_000).contains(&width) => Ok([height, width]),
        _ => Err(Error::usage(format!("--size {text}: expected height x width in pixels, each 1 to 20000"))
            .hint("for example --size 512x512")),
    }
}
