//! Memory: what a pass computes in, and how its output is shared out.
//!
//! `scratch` recycles buffers from call to call ([`Scratch`]); `shards` cuts one output tensor into parts that many threads
//! write at the same time without a lock ([`Cut`], [`Sharded`], [`Shard`]). Nothing here knows what is computed.

mod scratch;
mod shards;

pub use scratch::{Scratch, release_scratch, scratch_bytes};
pub(crate) use shards::{Cut, Segment, Shard, Sharded};
