//! Families of networks: each a file that turns a few numbers into a [graph](super::graph).
//!
//! [`fcn`]: FCN-32s, 16s and 8s (Long, Shelhamer & Darrell 2015) on the trunk of [`vgg16`] (Simonyan & Zisserman 2014).
//! [`unet`]: U-Net (Ronneberger, Fischer & Brox 2015).
//!
//! In: channels, variants, the number of classes. Out: operations and parameters. Nothing here computes.

pub mod fcn;
pub mod unet;
pub mod vgg16;
