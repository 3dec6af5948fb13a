//! One line of a class list: value, name and colour, in the notations that such lists come in.

use super::names::is_void_name;
use crate::error::{Error, Result};

/// One line of a class list.
pub(super) struct ClassLine {
    pub number: usize,
    pub value: u8,
    pub name: String,
    pub rgb: Option<[u8; 3]>,
}

pub(super) const CLASS_LIST_HINT: &str =
    "one class a line: `id name` or `id name r g b`, for example `0 background` and `1 cat 64 0 0`";

const COLOUR_HINT: &str = "a colour is three numbers of 0-255, `64 0 128`, `64,0,128`, `(64, 0, 128)` or `#400080`, before or after \
     the name: `id name r g b`";

/// What a word at either end of a line is.
#[derive(Clone, Debug, PartialEq)]
enum Word {
    /// A whole number, with its text.
    Number(i64, String),
    /// A colour in brackets or in hexadecimal digits.
    Colour([u8; 3]),
    /// Part of the name.
    Text(String),
}

impl Word {
    fn number(&self) -> Option<i64> {
        if let Word::Number(number, _) = self { Some(*number) } else { None }
    }

    fn text(&self) -> &str {
        if let Word::Number(_, text) | Word::Text(text) = self { text } else { "" }
    }
}

impl ClassLine {
    /// Reads a line that is neither empty nor a comment. `position` is the number of classes before it.
    ///
    /// | line | value | colour |
    /// | --- | --- | --- |
    /// | `id name`, `id name r g b`, `id r g b name` | id | named, or none |
    /// | `r g b name` | `position` | named |
    /// | `id r g b a v m "name"` (ITK-SNAP's label descriptions) | id | named |
    pub fn parse(number: usize, line: &str, position: usize) -> Result<Self> {
        let mut parsed = ClassLine { number, value: 0, name: String::new(), rgb: None };
        let words = parsed.words(line)?;
        let leading = words.iter().take_while(|word| word.number().is_some()).count();
        let numbers: Vec<i64> = words.iter().map_while(Word::number).collect();
        if numbers.is_empty() && !matches!(words.first(), Some(Word::Colour(_))) {
            let first = line.split_whitespace().next().unwrap_or_default();
            return Err(parsed.error(format!("`{first}` is not a number")).hint(CLASS_LIST_HINT));
        }
        if leading == words.len() {
            return Err(parsed.error(format!("`{line}` has no class name")).hint(CLASS_LIST_HINT));
        }
        let itk_snap = leading == 7 && line.trim_end().ends_with('"');
        let by_position = (leading == 3 && !matches!(words.get(3), Some(Word::Colour(_)))) || leading == 0;
        let before = match leading {
            0 => 0,
            3 => 3,
            4 => 4,
            7 if itk_snap => 7,
            1 | 2 => 1, // `1 3 wheeler` is called `3 wheeler`
            n => return Err(parsed.error(format!("{n} numbers lie before the name")).hint(COLOUR_HINT)),
        };
        parsed.value = match by_position {
            true => u8::try_from(position).map_err(|_| parsed.error("more than 256 classes".into()))?,
            false => {
                u8::try_from(numbers[0]).map_err(|_| parsed.error(format!("id {} is not in 0-255", numbers[0])))?
            }
        };
        let mut colours = Vec::new();
        match before {
            3 => colours.push(parsed.colour(&numbers[..3])?),
            4 | 7 => colours.push(parsed.colour(&numbers[1..4])?),
            _ => {}
        }
        parsed.finish(line, &words[before..], colours)
    }

    /// Name and colour from the words after the numbers at the start; `colours` are those found there.
    fn finish(mut self, line: &str, words: &[Word], mut colours: Vec<[u8; 3]>) -> Result<Self> {
        colours.extend(words.iter().filter_map(|word| if let Word::Colour(rgb) = word { Some(*rgb) } else { None }));
        let words: Vec<&Word> = words.iter().filter(|word| !matches!(word, Word::Colour(_))).collect();
        let trailing = words.iter().rev().take_while(|word| word.number().is_some()).count();
        let named = words.len() - trailing;
        let mut kept = words.len();
        match trailing {
            3 if named > 0 => {
                let numbers: Vec<i64> = words[named..].iter().filter_map(|word| word.number()).collect();
                colours.push(self.colour(&numbers)?);
                kept = named;
            }
            4.. => return Err(self.error(format!("{trailing} numbers follow the name")).hint(COLOUR_HINT)),
            _ => {}
        }
        let fractions = words[..kept].iter().rev().take_while(|word| word.text().parse::<f64>().is_ok()).count();
        if fractions >= 3 {
            let shown: Vec<&str> = words[kept - fractions..kept].iter().map(|word| word.text()).collect();
            return Err(self.error(format!("`{}` is no colour", shown.join(" "))).hint(COLOUR_HINT));
        }
        if colours.len() > 1 {
            return Err(self.error(format!("`{line}` gives two colours")).hint(COLOUR_HINT));
        }
        self.rgb = colours.first().copied();
        let name = words[..kept].iter().map(|word| word.text()).collect::<Vec<_>>().join(" ");
        self.name = name.trim_matches(['"', '\'']).trim().to_string();
        if self.name.is_empty() || words[..kept].iter().all(|word| word.number().is_some()) {
            return Err(self.error(format!("`{line}` has no class name")).hint(CLASS_LIST_HINT));
        }
        Ok(self)
    }

    /// The words of a line: separators of numbers are gone, colours in brackets and `#rrggbb` are one word each, a comment
    /// at the end (`# ...`) is left out.
    fn words(&self, line: &str) -> Result<Vec<Word>> {
        let (mut words, mut rest) = (Vec::new(), separated(line).trim().to_string());
        while !rest.is_empty() {
            if rest.starts_with(['(', '[', '{'])
                && let Some((inside, after)) = rest[1..].split_once([')', ']', '}'])
                && let Some(numbers) = numbers_in(inside)
                && numbers.len() > 1
            {
                words.push(Word::Colour(self.colour(&numbers)?));
                rest = after.trim_start().to_string();
                continue;
            }
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((&rest, ""));
            match word.strip_prefix('#') {
                Some("") => break,
                Some(digits) => words.push(Word::Colour(self.hexadecimal(digits)?)),
                None => words.push(match word.parse() {
                    Ok(number) => Word::Number(number, word.to_string()),
                    Err(_) => Word::Text(word.to_string()),
                }),
            }
            rest = after.trim_start().to_string();
        }
        Ok(words)
    }

    fn hexadecimal(&self, digits: &str) -> Result<[u8; 3]> {
        match u32::from_str_radix(digits, 16) {
            Ok(rgb) if digits.len() == 6 => Ok([(rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8]),
            _ => Err(self
                .error(format!("`#{digits}` is neither a colour nor a comment"))
                .hint("write a colour as `#rrggbb`, and a comment as `# text` with a blank")),
        }
    }

    fn colour(&self, numbers: &[i64]) -> Result<[u8; 3]> {
        let [r, g, b] = *numbers else {
            let n = numbers.len();
            return Err(self.error(format!("a colour of {n} numbers, expected red, green and blue")).hint(COLOUR_HINT));
        };
        let mut rgb = [0; 3];
        for (channel, number) in rgb.iter_mut().zip([r, g, b]) {
            *channel =
                u8::try_from(number).map_err(|_| self.error(format!("colour value {number} is not in 0-255")))?;
        }
        Ok(rgb)
    }

    /// Whether the class is no class, but the absence of a label.
    pub fn is_void(&self) -> bool {
        is_void_name(&self.name)
    }

    /// An error of this line.
    pub fn error(&self, what: String) -> Error {
        Error::data(format!("line {}: {what}", self.number))
    }
}

/// Whether a line is a comment: it starts with `#`, but not with a colour `#rrggbb` that has a decimal digit.
pub(super) fn is_comment(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let colour = |digits: &str| {
        digits.len() == 6
            && digits.chars().all(|c| c.is_ascii_hexdigit())
            && digits.contains(|c: char| c.is_ascii_digit())
    };
    first.strip_prefix('#').is_some_and(|digits| !colour(digits))
}

/// The whole numbers that `text` consists of, separated by blanks, commas or semicolons; `None` where it holds more.
fn numbers_in(text: &str) -> Option<Vec<i64>> {
    let separator = |c: char| c.is_whitespace() || c == ',' || c == ';';
    text.split(separator).filter(|word| !word.is_empty()).map(|word| word.parse().ok()).collect()
}

/// The line with blanks for the commas, semicolons and colons that separate numbers before and after the name; those
/// inside the name stay. `rgb(...)` loses its word.
fn separated(line: &str) -> String {
    let line = ["rgb(", "RGB("].iter().fold(line.to_string(), |line, word| line.replace(word, "("));
    let of_numbers = |c: char| c.is_ascii_digit() || c.is_whitespace() || ",;:-".contains(c);
    // Up to a comment, which may hold anything.
    let end = line.find(" # ").or_else(|| line.strip_suffix(" #").map(str::len)).unwrap_or(line.len());
    let line = &line[..end];
    let start = line.find(|c: char| !of_numbers(c)).unwrap_or(line.len());
    let stop = line
        .rfind(|c: char| !of_numbers(c))
        .map_or(start, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let blanks = |text: &str| text.replace([',', ';', ':'], " ");
    if numbers_in(&line[stop.max(start)..]).is_none_or(|numbers| numbers.is_empty()) {
        return blanks(&line[..start]) + line[start..].trim_end_matches([',', ';']);
    }
    blanks(&line[..start]) + &line[start..stop.max(start)] + &blanks(&line[stop.max(start)..])
}
