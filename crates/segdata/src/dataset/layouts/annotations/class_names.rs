//! Which class each label name is: by the data set's own list, or by one that the user gives.

use std::collections::HashMap;

use crate::dataset::layout::OpenOptions;
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::labels::{
    Classes, LABELME_VOID, MaskCoding, VOID, class_file, is_background_name, is_void_name, voc_colour,
};

/// The class list beside the labels. Those of other programs number their labels without background.
const CLASS_LIST: &str = "classes.txt";

/// The name of a label and its colour.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    pub name: String,
    pub colour: Option<[u8; 3]>,
}

/// The class id of each label name.
#[derive(Debug)]
pub(super) struct ClassNames {
    pub coding: MaskCoding,
    /// Class id, or void, of pixels that no shape covers.
    pub background: u8,
    ids: HashMap<String, u8>,
    /// Whether the user gave the list.
    given: bool,
}

impl ClassNames {
    /// The classes of a data set whose tool lists `labels`: background, then these in their order. A class list that the
    /// user names, or `classes.txt` at the root of `tree`, decides the ids instead, by the names.
    pub fn settle(labels: &[Label], tree: &Tree, options: &OpenOptions) -> Result<Self> {
        let beside = tree.root().join(CLASS_LIST);
        let (path, coding) = match &options.classes {
            Some(path) => (path, MaskCoding::read(path)?),
            None if tree.is_file(&beside) => {
                let text = class_file::text(tree.read("the class list", &beside)?).map_err(|e| e.at(&beside))?;
                (&beside, MaskCoding::parse(&text).map_err(|e| e.at(&beside))?)
            }
            None => return Self::own(labels).map_err(|e| e.at(tree.root())),
        };
        Self::given(coding, labels).map_err(|e| e.at(path))
    }

    fn own(labels: &[Label]) -> Result<Self> {
        let mut names = vec!["background".to_string()];
        let mut colours = vec![Some([0; 3])];
        let mut ids = HashMap::new();
        for Label { name, colour } in labels {
            let name = &name.trim().to_string();
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(Error::data(format!("{name:?} is no name of a class")).hint("name the label in one line"));
            }
            if is_void(name) || is_background_name(name) || ids.contains_key(name) {
                continue;
            }
            let id = u8::try_from(names.len()).ok().filter(|id| *id < VOID);
            ids.insert(
                name.clone(),
                id.ok_or_else(|| {
                    Error::data(format!("there are {} labels, at most 254 are possible", labels.len()))
                        .hint("give a class list with the labels to learn")
                })?,
            );
            names.push(name.clone());
            colours.push(*colour);
        }
        let classes = Classes { palette: palette(&colours), names };
        Ok(ClassNames { coding: MaskCoding::of_ids(&classes), background: 0, ids, given: false })
    }

    /// Unlabelled pixels are the class called background, or else what the list says of the value 0.
    fn given(coding: MaskCoding, labels: &[Label]) -> Result<Self> {
        let names = &coding.classes.names;
        let ids: HashMap<String, u8> = names.iter().enumerate().map(|(id, name)| (name.clone(), id as u8)).collect();
        let named = names.iter().position(|name| is_background_name(name)).map(|id| id as u8);
        let background = named.or(coding.id_of_value(0)).unwrap_or(0);
        if named.is_none()
            && let Some(first) = names.get(usize::from(background))
            && labels.iter().any(|label| label.name == *first)
        {
            return Err(Error::data(format!(
                "the class list has no background, and its class 0 is the label `{first}`"
            ))
            .hint("pixels without a label need a class: begin the list with `0 background` (or `0 void`)"));
        }
        Ok(ClassNames { background, ids, given: true, coding: MaskCoding::of_ids(&coding.classes) })
    }

    /// The class id, or void, of the label `name`.
    pub fn id(&self, name: &str) -> std::result::Result<u8, String> {
        let name = name.trim();
        if let Some(&id) = self.ids.get(name) {
            return Ok(id);
        }
        match (is_void(name), is_background_name(name)) {
            (true, _) => Ok(VOID),
            (_, true) => Ok(self.background),
            _ if self.given => Err(format!("the label `{name}` is not in the class list")),
            _ => Err(format!("the label `{name}` is not among the labels that the data set names")),
        }
    }
}

fn is_void(name: &str) -> bool {
    is_void_name(name) || name == LABELME_VOID
}

/// The colours of the labels where each has one of its own; VOC's otherwise, since a colour must mean one class.
fn palette(colours: &[Option<[u8; 3]>]) -> Vec<[u8; 3]> {
    let mut seen = std::collections::HashSet::from([voc_colour(VOID)]);
    let own: Option<Vec<[u8; 3]>> = colours.iter().map(|c| c.filter(|c| seen.insert(*c))).collect();
    own.unwrap_or_else(|| (0..colours.len()).map(|id| voc_colour(id as u8)).collect())
}

/// A colour as `#ff8000`.
pub(super) fn hex_colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.is_ascii())?;
    let channel = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    Some([channel(0)?, channel(2)?, channel(4)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Vec<Label> {
        names.iter().map(|name| Label { name: name.to_string(), colour: None }).collect()
    }

    #[test]
    fn background_comes_first_and_void_takes_no_class() {
        let names = ClassNames::own(&labels(&["cat", "_background_", "__ignore__", "dog", "cat "])).unwrap();
        assert_eq!(names.coding.classes.names, ["background", "cat", "dog"]);
        let ids = ["cat", "dog", "_background_", "Background", "__ignore__", "cow"].map(|name| names.id(name).ok());
        assert_eq!(ids, [Some(1), Some(2), Some(0), Some(0), Some(VOID), None]);
        assert!(ClassNames::own(&labels(&["a\nb"])).is_err());
        let many: Vec<String> = (0..300).map(|i| i.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(ClassNames::own(&labels(&many)).is_err_and(|e| e.message.contains("300 labels")));
        assert_eq!(ClassNames::own(&labels(&many[..254])).unwrap().id("253"), Ok(254));
    }

    #[test]
    fn a_class_list_decides_by_names() {
        let given = |text: &str| ClassNames::given(MaskCoding::parse(text).unwrap(), &labels(&["cat", "dog"]));
        let names = given("0 dog\n1 background\n2 cat").unwrap();
        assert_eq!((names.background, names.id("cat"), names.id("dog")), (1, Ok(2), Ok(0)));
        assert!(names.id("cow").is_err_and(|e| e.contains("`cow` is not in the class list")));
        assert_eq!(given("0 void\n1 cat\n2 dog").unwrap().background, VOID);
        assert_eq!(given("0 sky\n1 cat\n2 dog").unwrap().background, 0);
        assert!(given("0 cat\n1 dog").is_err_and(|e| e.message.contains("no background")));
    }

    #[test]
    fn colours_are_kept_where_each_means_one_class() {
        let coloured = |colours: &[&str]| {
            let label = |(i, c): (usize, &&str)| Label { name: i.to_string(), colour: hex_colour(c) };
            ClassNames::own(&colours.iter().enumerate().map(label).collect::<Vec<_>>()).unwrap().coding.classes.palette
        };
        assert_eq!(coloured(&["#ff8000", "#0080FF"]), [[0; 3], [255, 128, 0], [0, 128, 255]]);
        for colours in [["#ff0000", "#ff0000"], ["#000000", "#ff0000"], ["red", "#ff0000"], ["#é0000", "#ff0000"]] {
            assert_eq!(coloured(&colours), [[0; 3], [128, 0, 0], [0, 128, 0]], "{colours:?}");
        }
    }
}
