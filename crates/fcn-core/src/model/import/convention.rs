//! What published weights expect to see: the input convention belongs to them, and a wrong one costs points without a
//! word (torchvision's weights fed as Caffe's, or the other way round, lose an FCN about five).

use std::path::Path;

use crate::weights::{Channels, Preprocessing};

/// A published input convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// torchvision's own weights: RGB, divided by 255, minus .485/.456/.406, divided by .229/.224/.225.
    Torchvision,
    /// The Caffe FCNs and pytorch-fcn: BGR minus 104.00699/116.66877/122.67892.
    Caffe,
    /// VGG's own Caffe models: BGR minus 103.939/116.779/123.68.
    CaffeVgg,
    /// TF-slim: RGB minus 123.68/116.78/103.94.
    TfSlim,
}

/// Every convention, with the word for it.
pub const CONVENTIONS: [(&str, Convention); 4] = [
    ("torchvision", Convention::Torchvision),
    ("caffe", Convention::Caffe),
    ("caffe-vgg", Convention::CaffeVgg),
    ("tf-slim", Convention::TfSlim),
];

/// Published files by a part of their names. The eight digits are the beginning of the file's SHA-256, which is how
/// torchvision and others name what they publish.
const KNOWN_FILES: [(&str, Convention); 4] = [
    ("vgg16-397923af", Convention::Torchvision),
    ("vgg16_bn-6c64b313", Convention::Torchvision),
    ("vgg16-00b39a1b", Convention::CaffeVgg),
    ("vgg16_from_caffe", Convention::Caffe),
];

impl Convention {
    /// The convention as a formula.
    pub fn preprocessing(self) -> Preprocessing {
        let minus = |channels, mean| Preprocessing { channels, scale: 1.0, mean, std: [1.0; 3] };
        match self {
            Convention::Torchvision => Preprocessing {
                channels: Channels::Rgb,
                scale: 1.0 / 255.0,
                mean: [0.485, 0.456, 0.406],
                std: [0.229, 0.224, 0.225],
            },
            Convention::Caffe => minus(Channels::Bgr, [104.006_99, 116.668_77, 122.678_92]),
            Convention::CaffeVgg => minus(Channels::Bgr, [103.939, 116.779, 123.68]),
            Convention::TfSlim => minus(Channels::Rgb, [123.68, 116.78, 103.94]),
        }
    }

    /// That of a published file, by its name.
    pub fn of_file(path: &Path) -> Option<Convention> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        KNOWN_FILES.iter().find(|(known, _)| name.contains(known)).map(|(_, convention)| *convention)
    }

    /// The words for all conventions.
    pub fn words() -> String {
        CONVENTIONS.map(|(word, _)| word).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_tell_the_convention_and_others_do_not() {
        let cases = [
            ("/w/vgg16-397923af.pth", Some(Convention::Torchvision)),
            ("vgg16_bn-6c64b313.safetensors", Some(Convention::Torchvision)),
            ("VGG16-00b39a1b.pth", Some(Convention::CaffeVgg)),
            ("vgg16_from_caffe.pth", Some(Convention::Caffe)),
            ("vgg16.pth", None),
            ("vgg16-397923af/model.pth", None),
        ];
        for (path, expected) in cases {
            assert_eq!(Convention::of_file(Path::new(path)), expected, "{path}");
        }
        for (word, convention) in CONVENTIONS {
            assert_eq!(serde_json::to_value(convention).unwrap(), word);
        }
    }
}
