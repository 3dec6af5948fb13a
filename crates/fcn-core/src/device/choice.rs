//! The device of a run, chosen by name at run time and never by default: Burn's own default follows the enabled
//! features (GPUs first), which is not what a user who typed nothing expects.

use burn::tensor::Device;

use crate::{Error, Result};

/// The device called `name`: `cpu`, `cuda[:i]`, `vulkan`, `metal` or `webgpu`.
///
/// # Errors
/// A name that is unknown, or that this build leaves out; the message lists those it has.
pub fn parse(name: &str) -> Result<Device> {
    let (kind, index) = match name.split_once(':') {
        None => (name, 0usize),
        Some((kind, index)) => {
            let index = index.parse().map_err(|_| {
                Error::usage(format!("device '{name}': '{index}' is not a device number")).hint("for example cuda:0")
            })?;
            (kind, index)
        }
    };
    match kind {
        "cpu" if index == 0 => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(index)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "metal")]
        "metal" => Ok(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "webgpu")]
        "webgpu" => Ok(Device::webgpu(burn::tensor::DeviceKind::DefaultDevice)),
        "cuda" | "vulkan" | "metal" | "webgpu" => Err(Error::usage(format!(
            "device '{name}' is not part of this build, which has: {}",
            available().join(", ")
        ))
        .hint(format!("build the program with cargo's feature `{kind}`"))),
        _ => Err(Error::usage(format!("device '{name}' is unknown"))
            .hint(format!("this build has: {}", available().join(", ")))),
    }
}

/// Whether it is the processor that this program runs on.
pub fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// The names that [`parse`] accepts in this build.
pub fn available() -> Vec<&'static str> {
    let mut names = vec!["cpu"];
    names.extend(cfg!(feature = "cuda").then_some("cuda[:i]"));
    names.extend(cfg!(feature = "vulkan").then_some("vulkan"));
    names.extend(cfg!(feature = "metal").then_some("metal"));
    names.extend(cfg!(feature = "webgpu").then_some("webgpu"));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_device_is_named_and_a_wrong_name_says_which_there_are() {
        assert!(parse("cpu").is_ok());
        for wrong in ["gpu", "cpu:1", "cuda:x", ""] {
            let error = parse(wrong).expect_err(wrong);
            assert_eq!(error.kind, ErrorKind::Usage, "{wrong}");
            assert!(error.hint.is_some(), "{wrong}");
        }
    }
}
