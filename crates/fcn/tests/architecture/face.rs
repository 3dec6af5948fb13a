//! Flags, commands and exit codes belong to the binary: a library that names them in a message speaks of a program
//! that its user may not have.

/// What of the binary `text` names, if it does.
pub fn named_in(text: &str) -> Option<&'static str> {
    if text.to_lowercase().contains("exit code") {
        return Some("an exit code");
    }
    if begins_word(text, "--").any(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())) {
        return Some("a flag");
    }
    let command = |rest: &str| rest.trim_start_matches(|c: char| c.is_ascii_lowercase()).starts_with([' ', '`']);
    let is_named = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase()) && command(rest);
    begins_word(text, "fcn ").any(is_named).then_some("a command of `fcn`")
}

/// What follows each `word` in `text` that nothing but a space or a quotation mark is in front of.
fn begins_word<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(word).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let begins = before.is_none_or(|c| c.is_whitespace() || "`'\"(".contains(c));
        begins.then_some(&text[at + word.len()..])
    })
}

#[test]
fn what_belongs_to_the_binary_is_recognised() {
    let cases = [
        ("name another --out", Some("a flag")),
        ("--classes gives them names", Some("a flag")),
        ("see `fcn check`, which explains more", Some("a command of `fcn`")),
        ("run fcn train again", Some("a command of `fcn`")),
        ("the Exit code is 3", Some("an exit code")),
        ("a -- b, and --1", None),
        ("from a--b", None),
        ("the crates fcn-core, fcn, and others", None),
    ];
    for (text, expected) in cases {
        assert_eq!(named_in(text), expected, "{text}");
    }
}
