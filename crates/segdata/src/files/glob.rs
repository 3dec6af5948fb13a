//! Patterns for the names of files in one folder, as a shell writes them: `shards/train-*`.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Error, Result};

/// The pattern that the last component of `path` is: a name with `*` or `?` in it.
pub fn pattern_in(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str).filter(|name| name.contains(['*', '?']))
}

/// Whether a file name fits `pattern`: `*` stands for any characters, `?` for one, `[a-c]` for one of several.
///
/// # Errors
/// A pattern that cannot be read, such as one with an open bracket.
pub fn matcher(pattern: &str) -> Result<impl Fn(&OsStr) -> bool> {
    let parsed = glob::Pattern::new(pattern).map_err(|e| {
        Error::usage(format!("`{pattern}` is no pattern for file names: {e}"))
            .hint("`*` stands for any characters, `?` for one, `[a-c]` for one of several")
    })?;
    Ok(move |name: &OsStr| parsed.matches(&name.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        let cases = [
            ("*.record", "a.record", true),
            ("*.png", "a.jpg", false),
            ("train-*-of-*", "train-00000-of-00004", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c*", "abcdef", true),
            ("a?c*", "ac", false),
            ("*", "", true),
            ("?", "ä", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b", "abc", false),
            ("*a*b", "xaxxbxb", true),
            ("*a*b", "xaxxbx", false),
            ("*.[jp][pn]g", "a.png", true),
        ];
        let mut failures = Vec::new();
        for (pattern, name, fits) in cases {
            if matcher(pattern).unwrap()(OsStr::new(name)) != fits {
                failures.push(format!("{pattern} {name}"));
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
        assert!(matcher("a[*").is_err_and(|e| e.message.contains("`a[*`")));
    }

    #[test]
    fn a_pattern_is_the_last_component_alone() {
        for (path, pattern) in [("a/*.png", Some("*.png")), ("a*/b.png", None), ("b?", Some("b?")), ("..", None)] {
            assert_eq!(pattern_in(Path::new(path)), pattern, "{path}");
        }
    }
}
