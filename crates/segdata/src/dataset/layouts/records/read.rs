//! Reading records: their places in a shard, and the sample in one.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use tfio::record::Part;
use tfio::{Example, RecordError, RecordReader};

use crate::dataset::entry::Place;
use crate::dataset::names::without_image_extension;
use crate::dataset::sample::{Pair, mask_of_ids};
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::{self, RawMask};
use crate::size::Size;

/// What a file of records is called in errors.
const WHAT: &str = "the shard";

/// The places of all records of a shard: lengths are verified against their checksums, data are not read.
pub(super) fn places_in(tree: &Tree, path: &Path) -> Result<Vec<Place>> {
    let mut file = tree.open_file(WHAT, path)?;
    let end = file.size();
    let offsets = RecordReader::new(&mut file).index().map_err(|e| {
        let gzip = tree.read_start(WHAT, path, 2).is_ok_and(|start| start == [0x1f, 0x8b]);
        let hint = match gzip {
            true => "the file is compressed: `gunzip` it",
            false => "the file is no TFRecord file or is damaged: copy it again, or convert again",
        };
        Error::data(e.to_string()).at(path).hint(hint)
    })?;
    let shard: Arc<Path> = path.into();
    let ends = offsets.iter().skip(1).copied().chain([end]);
    let mut places = Vec::with_capacity(offsets.len());
    for (record, (&offset, end)) in offsets.iter().zip(ends).enumerate() {
        let mut checksum = [0; 4];
        file.seek(SeekFrom::Start(end - 4))
            .and_then(|_| file.read_exact(&mut checksum))
            .map_err(|e| Error::io("read the shard", path, &e))?;
        let (length, checksum) = (end - offset - 16, u32::from_le_bytes(checksum));
        places.push(Place { shard: shard.clone(), record: record as u64, offset, length, checksum });
    }
    Ok(places)
}

/// Whether a file begins with the length of a record and its checksum.
pub(super) fn begins_as_records(tree: &Tree, path: &Path) -> bool {
    const LENGTH_AND_CHECKSUM_BYTES: u64 = 12;
    let Ok(start) = tree.read_start(WHAT, path, LENGTH_AND_CHECKSUM_BYTES) else { return false };
    let read = RecordReader::new(&start[..]).read_into(&mut Vec::new());
    matches!(read, Err(RecordError::Truncated { part: Part::Data | Part::DataChecksum, .. }))
}

/// The id that a record brings; `None` when it is damaged or brings none.
pub(super) fn id_in(tree: &Tree, place: &Place) -> Option<String> {
    let data = data_at(tree, place).ok()?;
    let example = Example::decode(&data).ok()?;
    id_of(&example)
}

fn id_of(example: &Example) -> Option<String> {
    let name = String::from_utf8_lossy(example.bytes("image/filename").ok()?).into_owned();
    Some(without_image_extension(&name).to_string()).filter(|id| !id.is_empty())
}

/// The data of a record, checksum verified. The shard is opened anew: no handle is held over a long run, so that any
/// number of shards works, and one that vanished is named.
fn data_at(tree: &Tree, place: &Place) -> Result<Vec<u8>> {
    let file = tree.open_file(WHAT, &place.shard)?;
    RecordReader::new(BufReader::with_capacity(1 << 16, file)).read_at(place.offset).map_err(|e| {
        Error::data(format!("record {}: {e}", place.record))
            .at(&place.shard)
            .hint("the shard was damaged or changed after it was written: copy it again, or convert again")
    })
}

/// Reads the record at `place`, which should be sample `id`.
pub(crate) fn read(tree: &Tree, place: &Place, id: &str) -> Result<Pair> {
    let data = data_at(tree, place)?;
    let blame = |e: tfio::ExampleError| {
        place.blame(id, Error::data(e.to_string()).hint("expected the features image/encoded and image/label"))
    };
    let example = Example::decode(&data).map_err(blame)?;
    if let Some(found) = id_of(&example).filter(|found| found != id && !id.contains('#')) {
        return Err(
            place.blame(id, Error::data(format!("the record holds {found}")).hint("convert the data set again"))
        );
    }
    let encoded = example.bytes("image/encoded").map_err(blame)?.to_vec();
    let mask = example
        .bytes("image/label")
        .map_err(blame)
        .and_then(|label| mask_of_label(&example, label, &encoded).map_err(|e| place.blame(id, e)));
    Ok(Pair { image: Ok(encoded), mask })
}

/// The label feature as a mask: one byte a pixel of the size that the record or the image's header gives, or a file.
fn mask_of_label(example: &Example, label: &[u8], encoded: &[u8]) -> Result<RawMask> {
    let side = |key: &str| example.int64(key).ok().and_then(|v| usize::try_from(v).ok());
    let size = match (side("image/width"), side("image/height")) {
        (Some(width), Some(height)) => Size { width, height },
        _ => image::read_header(encoded)?.size,
    };
    if size.pixels() == label.len() {
        return Ok(mask_of_ids(size, label.to_vec()));
    }
    if image::guess_format(label).is_ok() {
        return RawMask::decode(label);
    }
    Err(Error::data(format!(
        "image/label has {} bytes, expected {} x {} class ids",
        label.len(),
        size.width,
        size.height
    ))
    .hint("labels are stored as one byte a pixel, row-major"))
}
