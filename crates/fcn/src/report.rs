//! Everything printed: results on stdout, the rest on stderr. A closed pipe (`| head`) is not an error here: the work
//! goes on, only the words are lost. Any other fault of stdout (a full disk) is remembered, and told when the work is done.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use fcn_core::{Error, ErrorKind};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::exit_code::exit_code;
use crate::flags::global::Global;

/// Writes `text` and a newline to stdout.
pub fn print_line(text: &str) {
    print_bytes(format!("{text}\n").as_bytes());
}

/// The first fault of stdout that is not a closed pipe.
static STDOUT_FAULT: OnceLock<String> = OnceLock::new();

/// Writes bytes to stdout as they are.
pub fn print_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(bytes).and_then(|()| out.flush())
        && e.kind() != std::io::ErrorKind::BrokenPipe
    {
        let _ = STDOUT_FAULT.set(e.to_string());
    }
}

/// What kept results from being printed, as an error.
///
/// # Errors
/// The first fault of stdout, unless it was that nobody reads on.
pub fn stdout_took_everything() -> fcn_core::Result<()> {
    match STDOUT_FAULT.get() {
        None => Ok(()),
        Some(fault) => {
            Err(Error::new(ErrorKind::Io, format!("the result could not be written to standard output: {fault}"))
                .hint("free space where the output goes, and repeat the command; files that it wrote are complete"))
        }
    }
}

/// Writes `text` and a newline to stderr, for logs and remarks.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes `value` as one JSON document to stdout.
pub fn print_json(value: &impl Serialize) -> fcn_core::Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::internal(format!("cannot write the result as JSON: {e}")))?;
    print_line(&text);
    Ok(())
}

/// The cause in one line and the remedy in one line; with `json` one object `{code, kind, message, path, hint}`.
pub fn print_error(error: &Error, json: bool) {
    if json {
        let object = serde_json::json!({
            "code": exit_code(error.kind), "kind": error.kind, "message": error.message,
            "path": error.path, "hint": error.hint,
        });
        note(&object.to_string());
        return;
    }
    note(&format!("error: {error}"));
    if let Some(hint) = &error.hint {
        note(&format!("hint: {hint}"));
    }
}

/// A table with one header row; the first column is flush left, the others flush right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[&str]| {
        let mut text = String::new();
        for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            match column {
                0 => text.push_str(&format!("{cell}{gap}")),
                _ => text.push_str(&format!("  {gap}{cell}")),
            }
        }
        text.trim_end().to_string()
    };
    let mut lines = vec![line(header)];
    lines.extend(rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>())));
    lines.join("\n")
}

/// Seconds as `1h02m`, `3m05s`, `4.2s` or `12ms`.
pub fn duration(secs: f64) -> String {
    let whole = secs.round() as u64;
    match secs {
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1}s"),
        s if s < 3600.0 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// A share of 0 to 1 as `12.34 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// What a score of 0 to 1 gained or lost, as `+0.0123`; empty where one of the two does not exist.
pub fn change(before: Option<f64>, after: Option<f64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("{:+.4}", after - before),
        _ => String::new(),
    }
}

/// Bytes as `1.2 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A progress bar with ETA on a terminal; elsewhere a plain line now and then; nothing when quiet.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    what: &'static str,
    last_line: std::sync::Mutex<std::time::Instant>,
}

/// How often a plain progress line is written where there is no terminal.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    /// A bar over `total` items called `what`, on stderr.
    pub fn new(what: &'static str, total: usize, global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal() && !global.quiet;
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} ({eta} left)") {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        Progress {
            bar,
            plain: !terminal && !global.quiet,
            what,
            last_line: std::sync::Mutex::new(std::time::Instant::now()),
        }
    }

    /// Moves to `done` items of `total`.
    pub fn at(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        if self.plain
            && let Ok(mut last) = self.last_line.lock()
            && last.elapsed() >= PLAIN_LINE_EVERY
        {
            *last = std::time::Instant::now();
            note(&format!("{} {done}/{total}", self.what));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_a_person_would_write() {
        for (secs, text) in [(0.0123, "12ms"), (4.21, "4.2s"), (185.0, "3m05s"), (3725.0, "1h02m")] {
            assert_eq!(duration(secs), text);
        }
        assert_eq!((percent(0.03215), percent(1.0)), ("3.21 %".into(), "100.00 %".into()));
        let changes = [(Some(0.5), Some(0.45), "-0.0500"), (Some(0.5), Some(0.5), "+0.0000"), (None, Some(1.0), "")];
        for (before, after, text) in changes {
            assert_eq!(change(before, after), text);
        }
        for (n, text) in [(17, "17 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn a_table_aligns_names_left_and_numbers_right() {
        let rows = vec![vec!["cat".to_string(), "0.5".to_string()], vec!["background".to_string(), "10".to_string()]];
        assert_eq!(table(&["class", "iou"], &rows), "class       iou\ncat         0.5\nbackground   10");
    }
}
