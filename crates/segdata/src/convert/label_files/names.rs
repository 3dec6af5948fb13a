//! The names and numbers of classes in label files.

use crate::error::{Error, Result};
use crate::labels::{Classes, MaskCoding, VOID, is_background_name, voc_colour};

/// The name of void in label files; the readers of this crate take it for void.
const VOID_NAME: &str = "void";

/// Which class is the rest that no object covers, and what the others are called.
#[derive(Clone, Debug)]
pub(in crate::convert) struct Names {
    classes: Classes,
    /// Whether void is a name too.
    void: bool,
    /// The class that no object covers.
    pub background: Option<u8>,
    /// The class list that lies beside the files.
    pub list: String,
}

/// What objects of one kind are called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::convert) struct Named<'a> {
    /// Class id, or void.
    pub id: u8,
    pub name: &'a str,
    pub colour: [u8; 3],
}

impl Names {
    /// The names of `classes`, and of void if `void` says that it may occur.
    ///
    /// # Errors
    /// Names or colours that a class list cannot hold.
    pub fn of(classes: &Classes, void: bool) -> Result<Self> {
        let background = classes.names.iter().position(|name| is_background_name(name)).map(|id| id as u8);
        let list = if background.is_some() { classes.to_text() } else { classes.to_text_after_void() };
        readable(&list, classes)?;
        Ok(Names { classes: classes.clone(), void, background, list })
    }

    /// How many classes there are, background among them.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// What objects are called, in the order of their ids, void last.
    pub fn all(&self) -> impl Iterator<Item = Named<'_>> {
        let classes = self.classes.names.iter().zip(&self.classes.palette).enumerate();
        let named = classes.map(|(id, (name, &colour))| Named { id: id as u8, name, colour });
        let void = self.void.then_some(Named { id: VOID, name: VOID_NAME, colour: voc_colour(VOID) });
        named.filter(|named| Some(named.id) != self.background).chain(void)
    }

    /// The name of a class or of void, background among them.
    ///
    /// # Errors
    /// An id that is neither; void where it was said not to occur.
    pub fn name(&self, id: u8) -> Result<&str> {
        match self.classes.names.get(usize::from(id)) {
            Some(name) => Ok(name),
            None if id == VOID && self.void => Ok(VOID_NAME),
            None => Err(Error::internal(format!("the label map holds {id}, which has no name"))),
        }
    }
}

/// Refuses a class list that says something else when it is read.
pub(in crate::convert) fn readable(list: &str, classes: &Classes) -> Result<()> {
    let wrong = |what: String| {
        Error::data(format!("these classes cannot be written as a class list: {what}"))
            .hint("give the classes other names: words, and no numbers at the end; no name and no colour twice")
    };
    let read = MaskCoding::parse(list).map_err(|e| wrong(e.message))?.classes;
    let changed = classes.names.iter().enumerate().find(|(id, name)| read.names.get(*id) != Some(name));
    match changed {
        Some((_, name)) => Err(wrong(format!("`{}` would be another class when it is read", name.escape_debug()))),
        None if read != *classes => Err(wrong("a colour would be another one when it is read".into())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_has_no_objects_and_void_is_the_last_name() {
        let names = |list: &[&str], void| Names::of(&Classes::named(list.to_vec()), void).unwrap();
        let shown = |names: &Names| names.all().map(|n| format!("{} {}", n.id, n.name)).collect::<Vec<_>>();
        // class list, background, what has objects
        let cases = [
            (["sky", "Background"], Some(1), vec!["0 sky", "255 void"]),
            (["road", "car"], None, vec!["0 road", "1 car", "255 void"]),
            (["background", "_background_"], Some(0), vec!["1 _background_", "255 void"]),
        ];
        for (list, background, expected) in cases {
            let names = names(&list, true);
            assert_eq!(
                (names.background, shown(&names)),
                (background, expected.iter().map(|n| n.to_string()).collect())
            );
            assert_eq!((names.name(VOID).unwrap(), names.name(0).unwrap()), ("void", list[0]));
            assert!(names.name(9).is_err());
        }
        assert!(names(&["a", "b"], false).name(VOID).is_err());
    }

    #[test]
    fn names_that_a_class_list_cannot_hold_are_refused() {
        for (list, expected) in [
            (["cat", "void"], "`void` would be"),
            (["cat", "a  b"], "`a  b` would be"),
            (["cat", "cat"], "is on line"),
            (["cat", "lane 1 2 3"], "numbers follow the name"),
            (["cat", "a\nb"], "is not a number"),
            (["cat", ""], "has no class name"),
        ] {
            let refused = Names::of(&Classes::named(list), false).unwrap_err();
            assert!(refused.message.contains(expected) && refused.hint.is_some(), "{list:?}: {refused}");
        }
        let twice = Classes { names: vec!["a".into(), "b".into()], palette: vec![[1; 3]; 2] };
        assert!(Names::of(&twice, false).is_err_and(|e| e.message.contains("two classes")));
        let many: Vec<String> = (0..255).map(|i| format!("c{i}")).collect();
        assert!(Names::of(&Classes::named(many), true).is_ok(), "255 classes and void");
    }
}
