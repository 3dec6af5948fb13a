//! Names of classes that mean something to every program.

/// Names of what is no object, in lower case.
const BACKGROUND_NAMES: [&str; 3] = ["background", "_background_", "__background__"];

/// labelme's name of labels that mark pixels as void; those of class lists are others.
pub(crate) const LABELME_VOID: &str = "__ignore__";

/// Whether a class of this name is no class, but the absence of a label.
pub(crate) fn is_void_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("void") || name.eq_ignore_ascii_case("ignore")
}

/// Whether a class of this name is what lies between the objects, in any case of the letters.
pub(crate) fn is_background_name(name: &str) -> bool {
    BACKGROUND_NAMES.iter().any(|background| background.eq_ignore_ascii_case(name))
}
