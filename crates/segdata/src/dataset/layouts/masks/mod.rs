//! Layouts whose labels are mask images: a file beside each photograph with one class id a pixel.
//!
//! A tree of files comes in, and its lists of pairs go out. The published sets have a file each; the others differ in where
//! the splits stand in the path, and share one rule for pairing by name (`pairs`).
//!
//! | layout | photograph | mask | source |
//! | --- | --- | --- | --- |
//! | `cityscapes` | `leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png` | `gtFine/SPLIT/CITY/ID_gtFine_labelTrainIds.png`, else `_labelIds` | Cordts et al., CVPR 2016; `labels.py` of cityscapesScripts |
//! | `ade20k` | `images/training/ID.jpg` | `annotations/training/ID.png` | Zhou et al., CVPR 2017; SceneParse150 |
//! | `pets` | `images/ID.jpg` | `annotations/trimaps/ID.png` | Parkhi et al., CVPR 2012; README of the annotations |
//! | `nnunet` | `imagesTr/ID_0000.png` | `labelsTr/ID.png` | `documentation/dataset_format.md` of nnU-Net v2 |
//! | `mmseg` | `img_dir/SPLIT/ID` | `ann_dir/SPLIT/ID` | MMSegmentation, "Customize datasets" |
//! | `carvana` | `SPLIT/ID` | `SPLIT_masks/ID_mask` | Carvana Image Masking Challenge; CamVid with `SPLIT_labels/ID_L` |
//! | `nested` | `images/SPLIT/ID` | `masks/SPLIT/ID` | |
//! | `splits` | `SPLIT/images/ID` | `SPLIT/masks/ID` | |
//! | `folder` | `images/ID` | `masks/ID` | |
//! | `flat` | `ID.jpg` | `ID.png` or `ID_mask.png` | Roboflow's masks, with a folder a split |

mod ade20k;
mod carvana;
mod cityscapes;
mod flat;
mod folder;
mod nested;
mod nnunet;
mod pairs;
mod pets;
mod splits;
mod words;

pub(super) use ade20k::Ade20k;
pub(super) use carvana::Carvana;
pub(super) use cityscapes::Cityscapes;
pub(super) use flat::Flat;
pub(super) use folder::Folder;
pub(super) use nested::{Mmseg, Nested};
pub(super) use nnunet::Nnunet;
pub(super) use pets::Pets;
pub(super) use splits::Splits;

#[cfg(test)]
mod tests;
