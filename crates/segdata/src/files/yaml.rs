//! YAML documents as a list of their scalars, each with its way from the root; the parser is `saphyr-parser`.

use saphyr_parser::{Event, Parser};

/// A part of the way to a scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The key in a mapping.
    Key(String),
    /// The position in a list, from 0.
    Item(usize),
}

/// The scalars of a document in their order, each with the way to it.
///
/// # Errors
/// What is no YAML, with line and column; aliases, by which a few bytes stand for any number of scalars.
pub(crate) fn scalars(text: &str) -> Result<Vec<(Vec<Step>, String)>, String> {
    let mut found = Vec::new();
    // Keys of the open mappings, none before the first, and positions in the open lists.
    let mut open: Vec<Option<Step>> = Vec::new();
    for event in Parser::new_from_str(text) {
        match event.map_err(|e| e.to_string())?.0 {
            Event::MappingStart(..) => open.push(None),
            Event::SequenceStart(..) => open.push(Some(Step::Item(0))),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                advance(&mut open);
            }
            Event::Scalar(value, ..) => match open.last_mut() {
                Some(key @ None) => *key = Some(Step::Key(value.into_owned())),
                _ => {
                    found.push((open.iter().flatten().cloned().collect(), value.into_owned()));
                    advance(&mut open);
                }
            },
            Event::Alias(_) => return Err("it holds an alias (`*name`)".into()),
            _ => {}
        }
    }
    Ok(found)
}

/// A value is read: the next one has another key, or the next place in its list.
fn advance(open: &mut [Option<Step>]) {
    match open.last_mut() {
        Some(Some(Step::Item(at))) => *at += 1,
        Some(key) => *key = None,
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_come_with_the_way_to_them() {
        let key = |k: &str| Step::Key(k.into());
        let expected = [
            (vec![key("a")], "1"),
            (vec![key("b"), Step::Item(0)], "x"),
            (vec![key("b"), Step::Item(1), key("c")], "y"),
            (vec![key("b"), Step::Item(2)], "z"),
            (vec![key("d")], "w"),
        ];
        let found = scalars("a: 1\nb: [x, {c: y}, z]\nd: w\n").unwrap();
        assert_eq!(found, expected.map(|(way, value)| (way, value.to_string())));
    }

    #[test]
    fn hostile_documents_are_refused() {
        let nested = "[".repeat(100_000);
        for (text, expected) in
            [("a: &x [1]\nb: *x", "alias"), ("names: [a", "line"), (&nested, "line"), ("names: \"a", "line")]
        {
            let error = scalars(text).unwrap_err();
            assert!(error.contains(expected), "{}: {error}", &text[..text.len().min(40)]);
        }
    }
}
