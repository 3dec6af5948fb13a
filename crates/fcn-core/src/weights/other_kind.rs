//! Files that are given as weights and hold none, or hold them in a form that is not read: what they are, and what helps.

use segdata::files::kinds::{Kind, Sort, kind_of};

use crate::Error;

/// The error of a file that begins with `head`, of 512 bytes or all it has; `None` where these are of no kind known.
pub(crate) fn other_kind(head: &[u8]) -> Option<Error> {
    kind_of(head)
        .map(|kind| Error::weights(format!("this is {}, and not a file of weights", kind.name)).hint(remedy(kind)))
}

fn remedy(kind: Kind) -> &'static str {
    match kind.sort {
        Sort::Pickle | Sort::Zip => "if PyTorch wrote it, make a weights file of it: `import`",
        Sort::Arrays if kind.name == "an HDF5 file" => {
            "if Keras wrote it, load the model with Keras, bring its kernels into the order [outputs, inputs, height, width], \
             save the arrays as safetensors, and `import` these"
        }
        Sort::Arrays => "save all arrays as one safetensors file",
        Sort::Network | Sort::Archive | Sort::Tar | Sort::Text => kind.remedy,
        Sort::Picture | Sort::Video | Sort::Other => {
            "expected weights: a TensorFlow checkpoint, a file of torch.save, or safetensors, whole"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_no_weights_are_named_with_what_helps() {
        let cases: [(&[u8], &str, &str); 7] = [
            (b"PK\x03\x04", "a zip archive", "`import`"),
            (b"\x80\x02}q\x00", "a Python pickle", "`import`"),
            (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "with Keras"),
            (b"\x93NUMPY\x01\x00", "a NumPy array", "one safetensors file"),
            (b"<html>", "a web page", "fetch it again"),
            (b"\x08\x01\x12\xff\x01", "a TensorFlow SavedModel", "variables/variables.index"),
            (b"\x08\x08\x12\x07pytorch", "an ONNX model", "exported from"),
        ];
        for (head, name, help) in cases {
            let error = other_kind(head).unwrap();
            assert!(error.message.contains(name) && error.hint.unwrap().contains(help), "{name}");
        }
        assert!(other_kind(b"\xfe\xfd\x00\x01").is_none());
    }
}
