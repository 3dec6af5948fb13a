//! What the name of a record file says.

/// A name that a record file may have.
#[derive(Debug, PartialEq)]
pub(super) struct ShardName {
    pub split: String,
    /// Its number, and of how many.
    pub shard: Option<(usize, usize)>,
    /// Whether the name alone says that records are in it; TensorFlow's own scripts write `train-00000-of-00004`.
    pub certain: bool,
}

/// What the name of a file says of the records in it: `train-00000-of-00004.tfrecord`, `val.tfrecord-00001-of-00002`,
/// `fcn_train.record`, `train-00000-of-00004`; `None` when it is not one of a record file.
pub(super) fn shard_name(name: &str) -> Option<ShardName> {
    let extensions = [".tfrecords", ".tfrecord", ".records", ".record"];
    let strip_extension = |name: &str| extensions.iter().find_map(|e| name.strip_suffix(e).map(str::to_string));
    let outer = strip_extension(name);
    let (stem, shard) = strip_shard(outer.as_deref().unwrap_or(name));
    let inner = strip_extension(stem);
    let certain = outer.is_some() || inner.is_some();
    if !certain && (shard.is_none() || stem.contains('.')) {
        return None;
    }
    let stem = inner.as_deref().unwrap_or(stem);
    let known = ["train", "val", "test", "trainval"];
    let last = stem.rsplit(['_', '-']).next().unwrap_or(stem);
    let split = if known.contains(&last) { last } else { stem }.to_string();
    Some(ShardName { split, shard, certain })
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
            ("train-00000-of-00004.tfrecord", Some(("train", Some((0, 4)), true))),
            ("val.tfrecord-00001-of-00002", Some(("val", Some((1, 2)), true))),
            ("fcn_train.record", Some(("train", None, true))),
            ("pascal.tfrecords", Some(("pascal", None, true))),
            ("train_mini-00000-of-00001.tfrecord", Some(("train_mini", Some((0, 1)), true))),
            ("voc_val-00003-of-00010", Some(("val", Some((3, 10)), false))),
            ("train-00000-of-00001.parquet", None),
            ("dataset.json", None),
            ("notes", None),
        ];
        let mut failures = Vec::new();
        for (name, expected) in cases {
            let found = shard_name(name);
            if found.as_ref().map(|n| (n.split.as_str(), n.shard, n.certain)) != expected {
                failures.push(format!("{name}: {found:?}"));
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }
}
