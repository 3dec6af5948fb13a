//! What published weights expect to see: the input convention belongs to them, and a wrong one costs points without a
//! word (torchvision's weights fed as Caffe's, or the other way round, lose an FCN about five).

use std::ops::RangeInclusive;
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::{Error, ErrorKind, Result};
use segdata::files::read as file;
use segdata::image::preprocessing::{Channels, Preprocessing};

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
    /// torchvision's `IMAGENET1K_FEATURES`, which came from Caffe: RGB divided by 255, minus .48235/.45882/.40784, times 255.
    TorchvisionFeatures,
    /// RGB divided by 255, as most U-Nets take it.
    Unit,
}

/// Every convention, with the word for it.
pub const CONVENTIONS: [(&str, Convention); 6] = [
    ("torchvision", Convention::Torchvision),
    ("caffe", Convention::Caffe),
    ("caffe-vgg", Convention::CaffeVgg),
    ("tf-slim", Convention::TfSlim),
    ("torchvision-features", Convention::TorchvisionFeatures),
    ("unit", Convention::Unit),
];

/// A file that somebody published.
struct Published {
    /// A part of its name.
    name: &'static str,
    hash: Hash,
    convention: Convention,
}

/// What is published of a file's hash, in hexadecimal digits.
enum Hash {
    /// The beginning of the SHA-256, with which torchvision and others name what they publish.
    Sha256(&'static str),
    /// As the code that downloads the file checks it.
    Md5(&'static str),
}

/// torchvision's `models/vgg.py`, jcjohnson/pytorch-vgg, and wkentaro/pytorch-fcn's `torchfcn/models/vgg.py`.
const KNOWN_FILES: [Published; 5] = [
    Published { name: "vgg16-397923af", hash: Hash::Sha256("397923af"), convention: Convention::Torchvision },
    Published {
        name: "vgg16_features-amdegroot-88682ab5",
        hash: Hash::Sha256("88682ab5"),
        convention: Convention::TorchvisionFeatures,
    },
    Published { name: "vgg16_bn-6c64b313", hash: Hash::Sha256("6c64b313"), convention: Convention::Torchvision },
    Published { name: "vgg16-00b39a1b", hash: Hash::Sha256("00b39a1b"), convention: Convention::CaffeVgg },
    Published {
        name: "vgg16_from_caffe",
        hash: Hash::Md5("aa75b158f4181e7f6230029eb96c1b13"),
        convention: Convention::Caffe,
    },
];

/// Sizes that these files can have: VGG-16's 138,357,544 values, and a little that describes them. No other file is hashed.
const KNOWN_BYTES: RangeInclusive<u64> = 553_430_176..=554_430_176;

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
            Convention::TorchvisionFeatures => Preprocessing {
                channels: Channels::Rgb,
                scale: 1.0 / 255.0,
                mean: [0.48235, 0.45882, 0.40784],
                std: [1.0 / 255.0; 3],
            },
            Convention::Unit => Preprocessing { scale: 1.0 / 255.0, ..minus(Channels::Rgb, [0.0; 3]) },
        }
    }

    /// That of a published file, by its name.
    pub fn of_file(path: &Path) -> Option<Convention> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        KNOWN_FILES.iter().find(|known| name.contains(known.name)).map(|known| known.convention)
    }

    /// That of a published file under whatever name, by its content, and what says so.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn of_content(path: &Path) -> Result<Option<(Convention, String)>> {
        of_content(path, &KNOWN_BYTES, &KNOWN_FILES)
    }

    /// The words for all conventions.
    pub fn words() -> String {
        CONVENTIONS.map(|(word, _)| word).join(", ")
    }
}

fn of_content(path: &Path, sizes: &RangeInclusive<u64>, known: &[Published]) -> Result<Option<(Convention, String)>> {
    let io = |e: std::io::Error| Error::io("read", path, &e);
    let mut file = file::open(ErrorKind::Weights, "the file of weights", path)?;
    if !sizes.contains(&file.metadata().map_err(io)?.len()) {
        return Ok(None);
    }
    let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
    file::each_block(&mut file, |block| {
        rayon::join(|| sha256.update(block), || md5.update(block));
    })
    .map_err(io)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (sha256, md5) = (hex(&sha256.finalize()), hex(&md5.finalize()));
    let told = |hash: &Hash| match hash {
        Hash::Sha256(start) => sha256.starts_with(start).then(|| format!("the file's SHA-256, {start}...")),
        Hash::Md5(whole) => (md5 == *whole).then(|| format!("the file's MD5, {whole}")),
    };
    Ok(known.iter().find_map(|known| Some((known.convention, told(&known.hash)?))))
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
        // The digits in a name are those of the hash.
        for Published { name, hash, .. } in KNOWN_FILES {
            assert!(
                matches!(hash, Hash::Sha256(start) if name.ends_with(start)) || name == "vgg16_from_caffe",
                "{name}"
            );
        }
        for (word, convention) in CONVENTIONS {
            assert_eq!(serde_json::to_value(convention).unwrap(), word);
        }
    }

    #[test]
    fn a_published_file_is_known_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.pth");
        std::fs::write(&path, b"abc").unwrap();
        // The test vectors of FIPS 180-2 and RFC 1321.
        let sha256 = Published { name: "a", hash: Hash::Sha256("ba7816bf"), convention: Convention::Torchvision };
        let md5 =
            Published { name: "b", hash: Hash::Md5("900150983cd24fb0d6963f7d28e17f72"), convention: Convention::Caffe };
        let other = Published { name: "c", hash: Hash::Md5("900150983cd24fb0"), convention: Convention::CaffeVgg };
        let found = |known: &[Published]| of_content(&path, &(3..=3), known).unwrap();
        let (convention, told_by) = found(&[other, md5]).unwrap();
        assert!(convention == Convention::Caffe && told_by.contains("MD5"), "{told_by}");
        let known = [sha256];
        let (convention, told_by) = found(&known).unwrap();
        assert!(convention == Convention::Torchvision && told_by.contains("ba7816bf"), "{told_by}");
        assert_eq!(found(&[]), None);
        assert_eq!(of_content(&path, &(4..=9), &known).unwrap(), None, "a file of another size is not read");
        assert_eq!(Convention::of_content(&path).unwrap(), None);
    }
}
