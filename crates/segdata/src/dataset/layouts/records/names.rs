//! What the name of a record file says, and globs of such names.

/// `*` any run of characters, `?` any one.
pub(super) fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if p < pattern.len() && (pattern[p] == '?' || (pattern[p] == name[n] && pattern[p] != '*')) {
            (p, n) = (p + 1, n + 1);
        } else if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1)); // let the last star take one more
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Split and shard number of a record file's name: `train-00000-of-00004.tfrecord`, `val.tfrecord-00001-of-00002`,
/// `fcn_train.record`; `None` when it is not one.
pub(super) fn split_of_file(name: &str) -> Option<(String, Option<(usize, usize)>)> {
    let extensions = [".tfrecords", ".tfrecord", ".records", ".record"];
    let strip_extension = |name: &str| extensions.iter().find_map(|e| name.strip_suffix(e).map(str::to_string));
    let outer = strip_extension(name);
    let (stem, shard) = strip_shard(outer.as_deref().unwrap_or(name));
    let inner = strip_extension(stem);
    if outer.is_none() && inner.is_none() {
        return None;
    }
    let stem = inner.as_deref().unwrap_or(stem);
    let known = ["train", "val", "test", "trainval"];
    let last = stem.rsplit(['_', '-']).next().unwrap_or(stem);
    Some((if known.contains(&last) { last } else { stem }.to_string(), shard))
}

/// Splits `-00001-of-00004` off.
fn strip_shard(stem: &str) -> (&str, Option<(usize, usize)>) {
    let parsed = stem.rsplit_once("-of-").and_then(|(front, count)| {
        let (base, number) = front.rsplit_once('-')?;
        Some((base, (number.parse().ok()?, count.parse().ok()?)))
    });
    parsed.map_or((stem, None), |(base, shard)| (base, Some(shard)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_told_from_file_names() {
        let cases = [
            ("train-00000-of-00004.tfrecord", Some(("train", Some((0, 4))))),
            ("val.tfrecord-00001-of-00002", Some(("val", Some((1, 2))))),
            ("fcn_train.record", Some(("train", None))),
            ("pascal.tfrecords", Some(("pascal", None))),
            ("train_mini-00000-of-00001.tfrecord", Some(("train_mini", Some((0, 1))))),
            ("dataset.json", None),
            ("notes-1-of-2", None),
        ];
        let mut failures = Vec::new();
        for (name, expected) in cases {
            let found = split_of_file(name);
            if found.as_ref().map(|(s, n)| (s.as_str(), *n)) != expected {
                failures.push(format!("{name}: {found:?}"));
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.record", "a.record", true),
            ("train-*-of-*", "train-00000-of-00004", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b", "abc", false),
        ] {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
