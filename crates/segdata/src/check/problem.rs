//! One thing that is wrong with a data set.

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Training or evaluating on it would fail or give a wrong score.
    Error,
    /// Worth knowing; training works.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// A stable name of the kind of problem.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The sample concerned; none when it is about the whole.
    pub id: Option<String>,
    /// One sentence: the thing, the value found, the value expected.
    pub message: String,
    /// The remedy.
    pub hint: String,
}

impl Problem {
    pub(super) fn new(
        code: &'static str,
        severity: Severity,
        id: Option<&str>,
        message: String,
        hint: &str,
    ) -> Problem {
        Problem { code, severity, id: id.map(str::to_string), message, hint: hint.to_string() }
    }
}
