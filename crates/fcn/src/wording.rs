//! Errors and remarks of the libraries in the words of the command line.
//!
//! The libraries know neither flags nor subcommands. Where a remedy names an option or an operation, they put it in
//! backticks: "lower `batch`", "run `check`". Here such a word becomes what the reader can type: an option of the
//! subcommand that runs becomes its flag (`--batch`), an operation becomes a subcommand (`fcn check`). Both lists are read
//! from the definition of the command line, so that a new flag needs no line here. Only remedies and remarks are
//! put into these words: what a message quotes in backticks may come from a file.

use fcn_core::Error;

/// The words of the subcommand that runs.
#[derive(Clone, Debug, Default)]
pub struct Wording {
    /// Names of the flags of the subcommand that runs, without the dashes before them.
    own: Vec<String>,
    /// Every subcommand and the names of its flags.
    commands: Vec<(String, Vec<String>)>,
}

impl Wording {
    /// The words of `program` while its subcommand `running` runs.
    pub fn of(mut program: clap::Command, running: &str) -> Self {
        program.build(); // hands the global flags to the subcommands
        let flags = |command: &clap::Command| {
            command.get_arguments().filter_map(|flag| flag.get_long()).map(str::to_string).collect()
        };
        let commands = program.get_subcommands().map(|command| (command.get_name().to_string(), flags(command)));
        let own = program.find_subcommand(running).map(flags).unwrap_or_default();
        Wording { own, commands: commands.collect() }
    }

    /// The text with each option and operation in backticks put into the words of the command line:
    ///
    /// | in the text | becomes | where |
    /// | --- | --- | --- |
    /// | `batch` in backticks | `--batch`, without backticks | `batch` is a flag of the subcommand that runs |
    /// | `classes list.txt` | `--classes list.txt` | the first word is such a flag |
    /// | `check` | `fcn check` | it is none, but a subcommand |
    /// | `train init` | `fcn train --init` | the first word is a subcommand, the second a flag of that |
    ///
    /// Underscores and dashes are alike. Everything else stays as it is.
    pub fn put(&self, text: &str) -> String {
        let mut parts = text.split('`').peekable();
        let mut put = parts.next().unwrap_or_default().to_string();
        while let Some(quoted) = parts.next() {
            let Some(after) = parts.next() else {
                put.push('`'); // it is never closed
                put.push_str(quoted);
                break;
            };
            put.push_str(&self.typed(quoted).unwrap_or_else(|| format!("`{quoted}`")));
            put.push_str(after);
        }
        put
    }

    /// The error with its remedy in the words of the command line.
    pub fn put_error(&self, mut error: Error) -> Error {
        error.hint = error.hint.map(|hint| self.put(&hint));
        error
    }

    /// What to type for a text in backticks; `None` where it is neither an option nor an operation.
    fn typed(&self, quoted: &str) -> Option<String> {
        let (first, rest) = quoted.split_once(' ').map_or((quoted, None), |(first, rest)| (first, Some(rest)));
        match (flag(&self.own, first), rest) {
            (Some(flag), None) => return Some(flag),
            (Some(flag), Some(rest)) => return Some(format!("`{flag} {rest}`")),
            (None, _) => {}
        }
        let (command, flags) = self.commands.iter().find(|(command, _)| command == first)?;
        let mut typed = format!("`fcn {command}");
        for word in rest.into_iter().flat_map(|rest| rest.split(' ')) {
            typed.push(' ');
            typed.push_str(flag(flags, word).as_deref().unwrap_or(word));
        }
        typed.push('`');
        Some(typed)
    }
}

/// The flag of this name, as it is typed.
fn flag(flags: &[String], word: &str) -> Option<String> {
    let name = word.replace('_', "-");
    flags.contains(&name).then(|| format!("--{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, Command};

    fn program() -> Command {
        let flags = |names: &'static [&'static str]| names.iter().map(|name| Arg::new(*name).long(*name));
        Command::new("fcn")
            .arg(Arg::new("threads").long("threads").global(true))
            .subcommand(Command::new("train").args(flags(&["batch", "crop", "width", "backbone", "init"])))
            .subcommand(Command::new("check").args(flags(&["classes"])))
            .subcommand(Command::new("import").args(flags(&["input-convention"])))
            .subcommand(Command::new("predict").args(flags(&["crf"])))
            .subcommand(Command::new("crf"))
    }

    #[test]
    fn phrases_are_typed_as_a_whole_and_other_words_stay() {
        let cases = [
            ("train", "lower `batch`, `crop` or `width`", "lower --batch, --crop or --width"),
            ("train", "with `backbone` vgg16 `width` 0.5", "with --backbone vgg16 --width 0.5"),
            ("check", "use it with `classes a b.txt`", "use it with `--classes a b.txt`"),
            ("predict", "train from it: `train init`", "train from it: `fcn train --init`"),
            ("crf", "`import input_convention a|b`", "`fcn import --input-convention a|b`"),
            ("predict", "lower `batch` or call it `void`", "lower `batch` or call it `void`"),
            ("check", "one a line: `id name` or `0 train`", "one a line: `id name` or `0 train`"),
            ("check", "`fcn check` says more; batch, train", "`fcn check` says more; batch, train"),
            ("train", "`batch` and a lone ` before `crop", "--batch and a lone ` before `crop"),
            ("train", "never closed: `batch", "never closed: `batch"),
            ("predict", "with `crf`, fewer `threads`", "with --crf, fewer --threads"),
            ("train", "see `crf`", "see `fcn crf`"),
            ("train", "", ""),
        ];
        for (running, text, expected) in cases {
            assert_eq!(Wording::of(program(), running).put(text), expected, "{running}: {text}");
        }
    }
}
