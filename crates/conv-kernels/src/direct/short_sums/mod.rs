//! Convolution by its definition where hardly anything is summed: the three channels of an image.
//!
//! ```text
//! lines, taps -> forward       lines -> gradient
//! ```
//!
//! Products are then so few that to copy their operands row by row of the map, as `unroll` does, would take as long. So a task
//! first lays its lines of the padded images one behind the other (`lines`). What a tap meets at a run of output pixels is then
//! contiguous, whatever rows the run crosses; the price is the S - 1 places at the end of each line (and R - 1 lines below each
//! image) where no output pixel is. `taps` sums over them in registers and stores each output once.

mod forward;
mod gradient;
mod lines;
#[allow(unsafe_code)]
mod taps;

pub(super) use forward::forward;
pub(super) use gradient::backward_weight;
