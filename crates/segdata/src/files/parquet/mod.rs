//! Parquet files, as far as columns of files in a table need it: byte arrays by row and column.
//!
//! ```text
//! thrift -> footer (columns) -> page (byte arrays) -> table (cells by row)
//! ```
//!
//! A page holds many cells and is decompressed whole: reading in order costs each page once, reading at random costs a page
//! a cell. Of the format (Apache Parquet 2.x, `parquet.thrift`) only what such files need is read: columns of byte arrays
//! without repetition, plain or dictionary encoding, stored, Snappy, Zstandard or gzip pages. Everything else is an error that names
//! it.

mod footer;
mod page;
mod table;
mod thrift;

pub(crate) use table::Table;

#[cfg(test)]
mod tests;
