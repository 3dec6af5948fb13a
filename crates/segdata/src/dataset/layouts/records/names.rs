//! What the name of a record file says.

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
    fn splits_are_parsed_from_file_names() {
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
}
