//! A data set as TFRecord files: a part of a split is a shard.

use std::path::PathBuf;

use tfio::Example;

use super::options::ConvertOptions;
use super::report::ConvertedSplit;
use super::shards::{Folder, ShardWriter};
use super::writer::{Sample, Writer};
use crate::dataset::Split;
use crate::error::{Error, Result};
use crate::labels::Classes;

/// Record files on their way.
pub(super) struct Records {
    folder: Folder,
    shards: usize,
    shard: Option<ShardWriter>,
}

impl Records {
    /// Begins the records in `out` of the options.
    ///
    /// # Errors
    /// No shard; a folder that holds something else; what the system refuses.
    pub fn begin(options: &ConvertOptions) -> Result<Self> {
        if options.shards == 0 {
            return Err(Error::usage("nothing to convert: at least one shard is needed"));
        }
        Ok(Records { folder: Folder::begin(&options.out, options.overwrite)?, shards: options.shards, shard: None })
    }
}

impl Writer for Records {
    type Ready = Vec<u8>;

    fn parts(&self, split: &Split) -> usize {
        self.shards.min(split.len()).max(1)
    }

    fn begin(&mut self, split: &Split, part: usize) -> Result<()> {
        self.shard = Some(ShardWriter::create(&self.folder, split.name(), part, self.parts(split))?);
        Ok(())
    }

    fn ready(&self, _: &str, Sample { id, encoded, header, labels }: Sample) -> Result<Vec<u8>> {
        let record = Example::new()
            .with_bytes("image/encoded", encoded)
            .with_bytes("image/filename", format!("{id}.{}", header.format.extension()).into_bytes())
            .with_bytes("image/format", header.format.name().as_bytes())
            .with_int64("image/height", labels.height as i64)
            .with_bytes("image/label", labels.ids)
            .with_int64("image/width", labels.width as i64);
        Ok(record.encode())
    }

    fn write(&mut self, id: String, ready: Vec<u8>) -> Result<()> {
        self.shard.as_mut().map_or(Ok(()), |shard| shard.write(id, &ready))
    }

    fn end(&mut self) -> Result<Vec<PathBuf>> {
        let Some(shard) = self.shard.take() else { return Ok(Vec::new()) };
        Ok(vec![shard.close(&mut self.folder)?])
    }

    fn finish(self, classes: &Classes, splits: &[ConvertedSplit]) -> Result<String> {
        self.folder.finish(classes, splits)
    }
}
