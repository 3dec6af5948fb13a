//! The published VGG-16 weights on this machine: where PyTorch, Keras and people keep them.

use std::path::{Path, PathBuf};

use super::convention::Convention;
use crate::network::Backbone;
use crate::{Error, ErrorKind, Result};

/// A file that can be fetched.
struct Fetched {
    backbone: Backbone,
    name: &'static str,
    address: &'static str,
    bytes: u64,
}

/// torchvision's `models/vgg.py`; the first of a backbone is the one that is proposed.
const FETCHED: [Fetched; 4] = [
    Fetched {
        backbone: Backbone::Vgg16,
        name: "vgg16-397923af.pth",
        address: "https://download.pytorch.org/models/vgg16-397923af.pth",
        bytes: 553_433_881,
    },
    Fetched {
        backbone: Backbone::Vgg16,
        name: "vgg16_features-amdegroot-88682ab5.pth",
        address: "https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth",
        bytes: 553_439_273,
    },
    Fetched {
        backbone: Backbone::Vgg16,
        name: "vgg16_from_caffe.pth",
        address: "https://github.com/wkentaro/pytorch-fcn",
        bytes: 553_432_430,
    },
    Fetched {
        backbone: Backbone::Vgg16Bn,
        name: "vgg16_bn-6c64b313.pth",
        address: "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
        bytes: 553_507_836,
    },
];

/// The word that stands for these weights where weights are asked for.
pub const IMAGENET: &str = "imagenet";

/// The published weights of a backbone, from the first usual place that has them: this folder, PyTorch's cache, Keras', and
/// this program's. Their hash is compared with the published one.
///
/// # Errors
/// None there: the message has the places, the hint the address, the size and the command that fetches them. A file that
/// has the name, but not the hash.
pub fn imagenet(backbone: Backbone) -> Result<PathBuf> {
    let found = find(backbone, &places(|name| std::env::var_os(name).map(PathBuf::from)))?;
    match Convention::of_content(&found)? {
        Some(_) => Ok(found),
        None => Err(Error::weights("the file has the name of published weights, but not their hash")
            .at(&found)
            .hint("the download is damaged or cut off: remove it, and fetch it again")),
    }
}

/// The folders that are looked into, by the variables of the environment.
fn places(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let home = variable("HOME").or_else(|| variable("USERPROFILE")).unwrap_or_default();
    let cache = variable("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
    let torch = variable("TORCH_HOME").unwrap_or_else(|| cache.join("torch"));
    vec![PathBuf::from("."), torch.join("hub/checkpoints"), home.join(".keras/models"), cache.join("fcn")]
}

fn find(backbone: Backbone, places: &[PathBuf]) -> Result<PathBuf> {
    let wanted: Vec<&Fetched> = FETCHED.iter().filter(|file| file.backbone == backbone).collect();
    let candidates = places.iter().flat_map(|place| wanted.iter().map(move |file| place.join(file.name)));
    if let Some(found) = candidates.into_iter().find(|path| path.is_file()) {
        return Ok(found);
    }
    let names: Vec<&str> = wanted.iter().map(|file| file.name).collect();
    let shown: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    let error = Error::new(
        ErrorKind::Io,
        format!("no file of published weights ({}) is in {}", names.join(", "), shown.join(", ")),
    );
    Err(match wanted.first() {
        Some(first) => error.hint(format!(
            "fetch {} ({} MB), for example with `curl -LO {}`, and repeat the command",
            first.name,
            first.bytes / 1_000_000,
            first.address
        )),
        None => error,
    })
}

/// Whether `path` asks for the published weights, and names no file or folder.
pub fn asks_for_imagenet(path: &Path) -> bool {
    path.as_os_str() == IMAGENET && !path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_looked_for_where_people_keep_them() {
        let variable = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/home/me")),
            "TORCH_HOME" => Some(PathBuf::from("/data/torch")),
            _ => None,
        };
        let expected = [".", "/data/torch/hub/checkpoints", "/home/me/.keras/models", "/home/me/.cache/fcn"];
        assert_eq!(places(variable), expected.map(PathBuf::from));
        assert_eq!(places(|_| None)[1], Path::new(".cache/torch/hub/checkpoints"));

        let folder = tempfile::tempdir().unwrap();
        let there = [folder.path().join("none"), folder.path().to_path_buf()];
        let error = find(Backbone::Vgg16Bn, &there).unwrap_err();
        let hint = error.hint.unwrap();
        assert!(hint.contains("curl -LO https://") && hint.contains("553 MB"), "{hint}");
        let file = folder.path().join("vgg16_bn-6c64b313.pth");
        std::fs::write(&file, b"cut off").unwrap();
        assert_eq!(find(Backbone::Vgg16Bn, &there).unwrap(), file);
        assert!(find(Backbone::Vgg16, &there).is_err());
        assert!(FETCHED.iter().all(|fetched| Convention::of_file(Path::new(fetched.name)).is_some()));
    }
}
