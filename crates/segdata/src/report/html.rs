//! Text, numbers, times and files as parts of an HTML page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Text as HTML text or attribute value; control characters become visible.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A picture as the address of itself: JPEG where the name ends so, else PNG.
pub(super) fn data_uri(extension: &str, bytes: &[u8]) -> String {
    let kind = if extension == "jpg" { "jpeg" } else { "png" };
    format!("data:image/{kind};base64,{}", STANDARD.encode(bytes))
}

/// A share with three places, or `n/a`.
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or("n/a".into(), |v| format!("{v:.3}"))
}

/// The day and minute of a time in seconds since 1970, in UTC: `2026-11-29 09:56`. The Gregorian calendar in eras of 400
/// years, each from a 1st of March (Hinnant, "chrono-compatible low-level date algorithms").
pub(super) fn date(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 2.5e11) as u64;
    let (days, minutes) = (seconds / 86_400 + 719_468, seconds % 86_400 / 60);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = 400 * era + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minutes / 60, minutes % 60)
}

/// A stretch of time: `45 s`, `12 min 3 s`, `3 h 20 min`, `2 d 5 h`.
pub(super) fn duration(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e12).round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0.0, "1970-01-01 00:00"),
            (951_782_399.0, "2000-02-28 23:59"),
            (951_868_799.9, "2000-02-29 23:59"),
            (951_868_800.0, "2000-03-01 00:00"),
            (1_795_946_219.0, "2026-11-29 09:56"),
            (-5.0, "1970-01-01 00:00"),
        ] {
            assert_eq!(date(seconds), expected, "{seconds}");
        }
        date(f64::MAX);
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, expected) in
            [(0.4, "0 s"), (59.6, "1 min 0 s"), (723.0, "12 min 3 s"), (12_000.0, "3 h 20 min"), (190_800.0, "2 d 5 h")]
        {
            assert_eq!(duration(seconds), expected);
        }
    }
}
