//! The parser of class lists (`classes.txt`).

use std::collections::HashMap;
use std::path::Path;

use super::class_file;
use super::classes::{Classes, VOID, voc_colour};
use super::coding::MaskCoding;
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

    /// Parses a class list, one class a line: `id name [r g b]`, or `r g b name` with ids in the order of the lines.
    ///
    /// The id is the value in the masks. Names may contain spaces. Empty lines and lines starting with `#` are
    /// skipped. A class named `void` or `ignore` is void and takes no class id, whatever its value or colour; several
    /// such lines are allowed. 255 is void unless a class claims it. Values must have no gaps apart from 255; where void
    /// lines lie between classes, later classes move up. Classes without a colour get VOC's.
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
            if !line.is_empty() && !line.starts_with('#') {
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
        let palette = classes().enumerate().map(|(id, l)| l.rgb.unwrap_or(voc_colour(id as u8))).collect();
        let mut coding = MaskCoding {
            classes: Classes { names: classes().map(|l| l.name.clone()).collect(), palette },
            id_by_value: vec![None; 256],
            id_by_colour: HashMap::new(),
        };
        coding.id_by_value[usize::from(VOID)] = Some(VOID);
        let mut next = 0;
        for line in lines {
            let (id, rgb) = if line.is_void() {
                (VOID, line.rgb)
            } else {
                next += 1;
                (next - 1, Some(coding.classes.palette[usize::from(next - 1)]))
            };
            coding.id_by_value[usize::from(line.value)] = Some(id);
            if let Some(rgb) = rgb
                && let Some(other) = coding.id_by_colour.insert(rgb, id)
                && other != id
            {
                return Err(line
                    .error(format!("colour {rgb:?} is given to two classes"))
                    .hint("give each class its own colour: `id name r g b`"));
            }
        }
        coding.id_by_colour.entry(voc_colour(VOID)).or_insert(VOID);
        Ok(coding)
    }
}

/// The longest class list: 256 classes with names as long as pages.
const MAX_LIST_BYTES: u64 = 1 << 20;

const CLASS_LIST_HINT: &str =
    "one class a line: `id name` or `id name r g b`, for example `0 background` and `1 cat 64 0 0`";

/// One line of a class list.
struct ClassLine {
    number: usize,
    value: u8,
    name: String,
    rgb: Option<[u8; 3]>,
}

impl ClassLine {
    fn parse(number: usize, line: &str, position: usize) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let integers: Vec<Option<i64>> = words.iter().map(|w| w.parse().ok()).collect();
        let mut parsed = ClassLine { number, value: 0, name: String::new(), rgb: None };
        let n = words.len();
        let leading = integers.iter().take_while(|i| i.is_some()).count();
        if leading == 3 && n >= 4 {
            parsed.rgb = Some(parsed.colour(&words[..3])?);
            parsed.value = u8::try_from(position).map_err(|_| parsed.error("more than 256 classes".into()))?;
            parsed.name = words[3..].join(" ");
            return Ok(parsed);
        }
        parsed.value = match (integers[0], words[0].parse()) {
            (_, Ok(value)) => value,
            (Some(_), _) => return Err(parsed.error(format!("id {} is not in 0-255", words[0]))),
            (None, _) => return Err(parsed.error(format!("`{}` is not a number", words[0])).hint(CLASS_LIST_HINT)),
        };
        let coloured = n >= 5 && integers[n - 3..].iter().all(Option::is_some);
        let name_end = if coloured { n - 3 } else { n };
        if coloured {
            parsed.rgb = Some(parsed.colour(&words[n - 3..])?);
        }
        parsed.name = words[1..name_end].join(" ");
        if parsed.name.is_empty() || integers[1..].iter().all(Option::is_some) {
            return Err(parsed.error(format!("`{line}` has no class name")).hint(CLASS_LIST_HINT));
        }
        Ok(parsed)
    }

    fn colour(&self, words: &[&str]) -> Result<[u8; 3]> {
        let mut rgb = [0; 3];
        for (channel, word) in rgb.iter_mut().zip(words) {
            *channel = word.parse().map_err(|_| self.error(format!("colour value {word} is not in 0-255")))?;
        }
        Ok(rgb)
    }

    fn is_void(&self) -> bool {
        self.name.eq_ignore_ascii_case("void") || self.name.eq_ignore_ascii_case("ignore")
    }

    fn error(&self, what: String) -> Error {
        Error::data(format!("line {}: {what}", self.number))
    }
}

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
                &[([128, 0, 0], Some(1))],
            ),
            ("0 void\n1 a\n2 b", &["a", "b"], &[(0, Some(VOID)), (1, Some(0)), (2, Some(1)), (255, Some(VOID))], &[]),
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
