//! How data sets lie on disk: one file, or folder, a layout.
//!
//! A layout comes in as a path and goes out as a `Layout`: lists of samples with the places of photograph and mask, and
//! what is wrong with each list. It implements `DataSetLayout`: `recognise` says from names alone whether a data set of its
//! kind lies in a tree of files, a folder or an archive, and where its photographs are; `list` lists it. The registry holds
//! all of them in the order in which they are tried; two that find different photographs are ambiguous. To add a layout:
//! write its file, name it in the registry, and give it a word and a line in [`Form`](super::Form).
//!
//! | layout | source |
//! | --- | --- |
//! | `voc` | PASCAL VOC 2012 development kit (Everingham & Winn), section 4 |
//! | `masks` | the published sets and the usual folders of mask images |
//! | `parquet` | Parquet files of encoded images, as Hugging Face's `datasets` writes them |
//! | `annotations/coco` | COCO's instances: shapes drawn in the order of the file, later over earlier |
//! | `annotations/labelme` | labelme 5: the same rule |
//! | `annotations/cvat` | CVAT for images 1.1: by `z_order`, then the same rule |
//! | `annotations/yolo` | Ultralytics' segmentation labels: the same rule |
//! | `annotations/supervisely` | Supervisely: the same rule |
//! | [`records`] | TFRecord files of `tf.train.Example`, as in the TensorFlow models repository (`deeplab`) |

pub(in crate::dataset) mod annotations;
mod drawn_split;
mod masks;
mod parquet;
pub mod records;
mod registry;
mod unread;
mod voc;
