//! The parser of class lists (`classes.txt`).

use std::collections::HashMap;
use std::path::Path;

use super::class_file;
use super::class_line::{CLASS_LIST_HINT, ClassLine, is_comment};
use super::classes::{Classes, VOID, voc_colour};
use super::coding::{MaskCoding, MaskValues};
use crate::error::{Error, Result};
use crate::files::read as file;

impl MaskCoding {
    /// Reads a class list file: [`MaskCoding::parse`] describes it, or CVAT's `labelmap.txt`, a table (`.csv`), Hugging
    /// Face's `id2label` (`.json`) or the `names` of a `data.yaml`.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = file::read_at_most(MAX_LIST_BYTES, "the class list", path)?;
        class_file::text(bytes).and_then(|text| Self::parse_file(path, &text)).map_err(|e| e.at(path))
    }

    /// Parses the class list `text` that lies at `path`, written as the ending of its name says.
    pub(crate) fn parse_file(path: &Path, text: &str) -> Result<Self> {
        match class_file::translate(path, text)? {
            Some(lines) => Self::parse(&lines),
            None => Self::parse(text),
        }
    }

    /// Parses a class list, one class a line: `id name [r g b]`, `id r g b name`, or `r g b name` with ids in the order of
    /// the lines. Colours are also read as `r,g,b`, `(r, g, b)`, `[r, g, b]` and `#rrggbb`.
    ///
    /// The id is the value in the masks. Names may contain spaces. Empty lines, lines starting with `#` and comments after
    /// ` # ` are skipped. A class named `void` or `ignore` is void and takes no class id, whatever its value or colour;
    /// several such lines are allowed. 255 is void unless a class claims it. Values must have no gaps apart from 255; where
    /// void lines lie between classes, later classes move up. A line without a colour has that of its value in VOC's
    /// colour map, so that masks in these colours and masks of these values mean the same.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.chars().any(|c| c.is_control() && !c.is_whitespace()) {
                let number = number + 1;
                return Err(Error::data(format!(
                    "line {number} of the class list holds a control character: {line:?}"
                ))
                .hint("save the list as plain text"));
            }
            if !line.is_empty() && !is_comment(line) {
                lines.push(ClassLine::parse(number + 1, line, lines.len())?);
            }
        }
        if lines.iter().all(|l: &ClassLine| l.is_void()) {
            return Err(Error::data("the class list names no class").hint(CLASS_LIST_HINT));
        }
        lines.sort_by_key(|l| l.value);
        check_values(&lines)?;
        Self::assemble(&lines)
    }

    fn assemble(lines: &[ClassLine]) -> Result<Self> {
        let classes = || lines.iter().filter(|l| !l.is_void());
        let colour = |l: &ClassLine| l.rgb.unwrap_or(voc_colour(l.value));
        let mut coding = MaskCoding {
            classes: Classes {
                names: classes().map(|l| l.name.clone()).collect(),
                palette: classes().map(colour).collect(),
            },
            id_by_value: vec![None; 256],
            id_by_colour: HashMap::new(),
            own_colours: lines.iter().any(|l| colour(l) != voc_colour(l.value)),
            mask_values: MaskValues::Stored,
            of_ids: false,
        };
        coding.id_by_value[usize::from(VOID)] = Some(VOID);
        for (id, line) in classes().enumerate() {
            coding.id_by_value[usize::from(line.value)] = Some(id as u8);
            coding.add_colour(line, colour(line), id as u8)?;
        }
        let voids = || lines.iter().filter(|l| l.is_void());
        voids().for_each(|line| coding.id_by_value[usize::from(line.value)] = Some(VOID));
        for line in voids() {
            if let Some(rgb) = line.rgb {
                coding.add_colour(line, rgb, VOID)?;
            }
        }
        // What no line says goes without saying only where no line says otherwise.
        let implied = voids().map(|line| voc_colour(line.value)).chain([voc_colour(VOID)]);
        implied.for_each(|rgb| {
            coding.id_by_colour.entry(rgb).or_insert(VOID);
        });
        Ok(coding)
    }

    fn add_colour(&mut self, line: &ClassLine, rgb: [u8; 3], id: u8) -> Result<()> {
        match self.id_by_colour.insert(rgb, id) {
            Some(other) if other != id => Err(line
                .error(format!("colour {rgb:?} is given to two classes"))
                .hint("give each class its own colour: `id name r g b`")),
            _ => Ok(()),
        }
    }
}

/// The longest class list: 256 classes with names as long as pages.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// Refuses duplicates and gaps; `lines` are sorted by value.
fn check_values(lines: &[ClassLine]) -> Result<()> {
    let mut names: HashMap<&str, usize> = HashMap::new();
    for line in lines.iter().filter(|l| !l.is_void()) {
        if let Some(first) = names.insert(&line.name, line.number) {
            let (low, high) = (first.min(line.number), first.max(line.number));
            return Err(Error::data(format!("line {high}: class name `{}` is on line {low} already", line.name)));
        }
    }
    let mut expected = 0u16;
    for line in lines {
        if line.value == VOID && expected < u16::from(VOID) {
            expected = u16::from(VOID);
        }
        match u16::from(line.value) {
            v if v < expected => return Err(line.error(format!("id {v} is listed twice"))),
            // Masks hold no label under any value that they like.
            _ if line.is_void() && u16::from(line.value) > expected => continue,
            v if v > expected => {
                return Err(line.error(format!("id {v} follows a gap: id {expected} is missing")).hint(format!(
                    "ids count from 0 without gaps; write `{expected} void` if masks use {expected} for no label"
                )));
            }
            v => expected = v + 1,
        }
    }
    if lines.iter().filter(|l| !l.is_void()).count() > usize::from(VOID) {
        return Err(Error::data("the class list names 256 classes, at most 255 are possible"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_list_survives_writing_and_reading() {
        let mut classes = Classes::voc();
        classes.names[16] = "potted plant".into();
        let coding = MaskCoding::parse(&classes.to_text()).unwrap();
        assert_eq!(coding, MaskCoding::from(&classes));
    }

    #[test]
    fn class_lists_may_move_void_and_name_colours() {
        // text, names, (value, id) pairs, (colour, id) pairs
        type Case =
            (&'static str, &'static [&'static str], &'static [(u16, Option<u8>)], &'static [([u8; 3], Option<u8>)]);
        let cases: [Case; 6] = [
            (
                "\u{feff}0 a\r\n1 b\r\n",
                &["a", "b"],
                &[(0, Some(0)), (1, Some(1)), (2, None), (255, Some(VOID)), (256, None)],
                &[([128, 0, 0], Some(1))],
            ),
            (
                "0 background\n255 cell",
                &["background", "cell"],
                &[(0, Some(0)), (255, Some(1)), (1, None)],
                &[([128, 0, 0], None), ([224, 224, 192], Some(1))],
            ),
            (
                "0 void\n1 a\n2 b",
                &["a", "b"],
                &[(0, Some(VOID)), (1, Some(0)), (2, Some(1)), (255, Some(VOID))],
                // Colours without a line go by the value, as in masks with VOC's palette.
                &[([0; 3], Some(VOID)), ([128, 0, 0], Some(0)), ([0, 128, 0], Some(1)), ([128, 128, 0], None)],
            ),
            ("0 a\n1 ignore\n2 b\n", &["a", "b"], &[(1, Some(VOID)), (2, Some(1))], &[]),
            (
                "# CamVid\n64 128 64\tAnimal\n0 0 0\tVoid\n0 0 192 Side walk",
                &["Animal", "Side walk"],
                &[],
                &[([0, 0, 0], Some(VOID)), ([0, 0, 192], Some(1)), ([1, 1, 1], None)],
            ),
            (
                "1 b 9 9 9\n0 a 8 8 8\n255 void 7 7 7",
                &["a", "b"],
                &[(1, Some(1))],
                &[([9, 9, 9], Some(1)), ([7, 7, 7], Some(VOID)), ([224, 224, 192], Some(VOID))],
            ),
        ];
        let mut failures = Vec::new();
        for (text, names, values, colours) in cases {
            let coding = match MaskCoding::parse(text) {
                Ok(coding) => coding,
                Err(e) => {
                    failures.push(format!("{text:?}: {e}"));
                    continue;
                }
            };
            if coding.classes.names != names {
                failures.push(format!("{text:?}: {:?}", coding.classes.names));
            }
            failures.extend(
                values.iter().filter(|(v, id)| coding.id_of_value(*v) != *id).map(|c| format!("{text:?}: {c:?}")),
            );
            failures.extend(
                colours.iter().filter(|(v, id)| coding.id_of_colour(*v) != *id).map(|c| format!("{text:?}: {c:?}")),
            );
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn colours_are_read_in_every_notation_and_names_keep_their_punctuation() {
        // line, name, colour
        let cases: [(&str, &str, Option<[u8; 3]>); 22] = [
            ("1 road 128 64 128", "road", Some([128, 64, 128])),
            ("1 road 128,64,128", "road", Some([128, 64, 128])),
            ("1 road 128, 64, 128", "road", Some([128, 64, 128])),
            ("1 road (128, 64, 128)", "road", Some([128, 64, 128])),
            ("1 road [128,64,128]", "road", Some([128, 64, 128])),
            ("1 road rgb(128,64,128)", "road", Some([128, 64, 128])),
            ("1 road #804080", "road", Some([128, 64, 128])),
            ("1 road 128 64 128 # paved", "road", Some([128, 64, 128])),
            ("1 road # paved 1 2 3", "road", None),
            ("1 128 64 128 road", "road", Some([128, 64, 128])),
            ("1 (128, 64, 128) road side", "road side", Some([128, 64, 128])),
            ("1 #804080 road", "road", Some([128, 64, 128])),
            ("1,road,128,64,128", "road", Some([128, 64, 128])),
            ("1;road;128;64;128", "road", Some([128, 64, 128])),
            ("1, road", "road", None),
            ("1: road", "road", None),
            ("1 255 0 0 1 1 1 \"Vessel\"", "Vessel", Some([255, 0, 0])),
            ("1 building, edifice", "building, edifice", None),
            ("1 road (paved)", "road (paved)", None),
            ("1 lane 2", "lane 2", None),
            ("1 3 wheeler", "3 wheeler", None),
            ("1 t-junction", "t-junction", None),
        ];
        let mut failures = Vec::new();
        for (line, name, rgb) in cases {
            match ClassLine::parse(2, line, 1) {
                Ok(found) if (found.value, found.name.as_str(), found.rgb) == (1, name, rgb) => {}
                Ok(found) => failures.push(format!("{line:?}: {} {:?} {:?}", found.value, found.name, found.rgb)),
                Err(e) => failures.push(format!("{line:?}: {e}")),
            }
        }
        for (line, name) in [("128,64,128 road", "road"), ("#804080 road", "road"), ("(128,64,128)\troad", "road")] {
            match ClassLine::parse(2, line, 1) {
                Ok(found) if (found.value, found.name.as_str(), found.rgb) == (1, name, Some([128, 64, 128])) => {}
                other => failures.push(format!("{line:?}: {:?}", other.map(|found| found.name))),
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn a_list_whose_class_has_the_colour_of_void_survives_writing_too() {
        let coding = MaskCoding::parse("0 background\n255 cell").unwrap();
        assert_eq!(MaskCoding::parse(&coding.classes.to_text()).unwrap(), MaskCoding::from(&coding.classes));
    }

    #[test]
    fn wrong_class_lists_are_refused_with_the_line() {
        let cases = [
            ("", "names no class"),
            ("255 void", "names no class"),
            ("0 a\n2 c", "line 2: id 2 follows a gap: id 1 is missing"),
            ("0 a\n\n0 b", "line 3: id 0 is listed twice"),
            ("0 a\n1 a", "line 2: class name `a` is on line 1 already"),
            ("0 a\n256 b", "line 2: id 256 is not in 0-255"),
            ("0 a\n-1 b", "line 2: id -1 is not in 0-255"),
            ("0 a\nb 1", "line 2: `b` is not a number"),
            ("0 a\n1", "line 2: `1` has no class name"),
            ("0 a\n1 b 300 0 0", "line 2: colour value 300 is not in 0-255"),
            ("0 a\n1 b 0.5 0.25 0.5", "line 2: `0.5 0.25 0.5` is no colour"),
            ("0 a\n1 b 1 2 3 255", "line 2: 4 numbers follow the name"),
            ("0 a\n1 b (1, 2, 3, 255)", "line 2: a colour of 4 numbers"),
            ("0 a\n1 b [1, 2]", "line 2: a colour of 2 numbers"),
            ("0 a\n1 b #12345", "line 2: `#12345` is neither a colour nor a comment"),
            ("0 a\n1 1 2 3 4 b", "line 2: 5 numbers lie before the name"),
            ("0 a\n1 (1, 2, 3) b 4 5 6", "line 2: `1 (1, 2, 3) b 4 5 6` gives two colours"),
            ("0 a\n1 (1, 2, 300) b", "line 2: colour value 300 is not in 0-255"),
            ("0 a 1 2 3\n1 b 1 2 3", "line 2: colour [1, 2, 3] is given to two classes"),
        ];
        let mut failures = Vec::new();
        for (text, expected) in cases {
            match MaskCoding::parse(text) {
                Err(e) if e.message.contains(expected) => {}
                other => failures.push(format!("{text:?}: expected {expected:?}, got {other:?}")),
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }
}
