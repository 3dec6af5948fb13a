//! The file names of the pictures of a run.

/// A sample id as a part of a file name: everything that could leave the folder or confuse a shell is written `%XX`,
/// so that two ids never share a file.
pub fn file_stem(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for c in id.chars() {
        let plain = c.is_alphanumeric() || matches!(c, '-' | '_' | ' ' | '+' | '(' | ')' | '.');
        if plain && !(out.is_empty() && c == '.') {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|b| out.push_str(&format!("%{b:02X}")));
        }
    }
    out
}

/// What a picture of a validation shows; also its place in a row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PictureKind {
    /// The photograph.
    Photo,
    /// The truth, as an index PNG.
    Annotation,
    /// The network's label map, as an index PNG.
    Prediction,
    /// The label map after the dense CRF, as an index PNG.
    PredictionCrf,
    /// Photograph, prediction and legend in one; the CRF's result beside the raw one where there is a CRF.
    Overlay,
    /// Where the prediction is wrong, with the image's mIoU; that of the CRF beside it where there is one.
    Errors,
}

impl PictureKind {
    const ALL: [PictureKind; 6] = [
        PictureKind::Photo,
        PictureKind::Annotation,
        PictureKind::Prediction,
        PictureKind::PredictionCrf,
        PictureKind::Overlay,
        PictureKind::Errors,
    ];

    /// End of the file name and extension.
    fn suffix(self) -> (&'static str, &'static str) {
        match self {
            PictureKind::Photo => ("img", "jpg"),
            PictureKind::Annotation => ("annotation", "png"),
            PictureKind::Prediction => ("prediction", "png"),
            PictureKind::PredictionCrf => ("prediction_crfed", "png"),
            PictureKind::Overlay => ("overlay", "jpg"),
            PictureKind::Errors => ("errors", "jpg"),
        }
    }

    /// Whether the picture is a label map.
    pub fn is_mask(self) -> bool {
        self.suffix().1 == "png"
    }

    /// A word for people.
    pub fn caption(self) -> &'static str {
        match self {
            PictureKind::Photo => "photograph",
            PictureKind::Annotation => "annotation",
            PictureKind::Prediction => "prediction",
            PictureKind::PredictionCrf => "prediction after the CRF",
            PictureKind::Overlay => "overlay",
            PictureKind::Errors => "errors",
        }
    }

    /// The file's name in the folder `pictures` of a run: `val_<step>_<id>_<kind>.<extension>`.
    pub fn file_name(self, step: u64, id: &str) -> String {
        let (suffix, extension) = self.suffix();
        format!("val_{step}_{}_{suffix}.{extension}", file_stem(id))
    }

    /// Step, id as in the file name, and kind of a file that [`file_name`](Self::file_name) named.
    pub fn parse(file_name: &str) -> Option<(u64, String, PictureKind)> {
        let (step, rest) = file_name.strip_prefix("val_")?.split_once('_')?;
        PictureKind::ALL.into_iter().find_map(|kind| {
            let (suffix, extension) = kind.suffix();
            let name = rest.strip_suffix(extension)?.strip_suffix('.')?.strip_suffix(suffix)?.strip_suffix('_')?;
            Some((step.parse().ok()?, name.to_string(), kind))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_names_are_read_back() {
        for kind in PictureKind::ALL {
            for id in ["2007_000033", "a_prediction", "x", "dots.and_img"] {
                let name = kind.file_name(1400, id);
                assert_eq!(PictureKind::parse(&name), Some((1400, id.to_string(), kind)), "{name}");
            }
        }
        for name in ["val_x_a_img.jpg", "val_1_img.jpg", "contact_sheet_200.jpg", "val_1_a_img.gif", ""] {
            assert_eq!(PictureKind::parse(name), None, "{name}");
        }
    }

    #[test]
    fn file_stems_stay_in_the_folder_and_never_meet() {
        for (id, stem) in [
            ("2007_000033", "2007_000033"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("../x", "%2E.%2Fx"),
            ("x\ny", "x%0Ay"),
            ("größe 1", "größe 1"),
        ] {
            assert_eq!(file_stem(id), stem);
        }
    }
}
