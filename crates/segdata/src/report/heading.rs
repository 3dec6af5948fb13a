//! The head of the page: how well the network does, what it is, what it was trained on, when and how.

use std::fs;
use std::path::Path;

use super::history::{RunHistory, ValidationPoint};
use super::html::{date, duration, escape, share};

/// Name of the run, its mIoU in large, the facts of the run and the other scores.
pub(super) fn heading(run_dir: &Path, name: &str, log: &RunHistory) -> String {
    let state = match (log.last_step, log.validations.last()) {
        (Some(step), Some(v)) => format!("trained to step {:.0}, last validated at step {}", step.step, v.step),
        (Some(step), None) => format!("trained to step {:.0}, not validated yet", step.step),
        (None, Some(v)) => format!("validated at step {}", v.step),
        (None, None) => "nothing logged yet".into(),
    };
    let rows: String = facts(run_dir, log)
        .into_iter()
        .map(|(title, value)| format!("<dt>{title}</dt><dd>{}</dd>", escape(&value)))
        .collect();
    format!(
        "<header><div class=score>{}</div><div><h1>{}</h1><div class=sub>{state}</div><dl>{rows}</dl></div></header>{}",
        score(log),
        escape(name),
        cards(log)
    )
}

/// The mIoU of the last validation, and the best one where it is another.
fn score(log: &RunHistory) -> String {
    let Some(last) = log.validations.last() else { return "<b>-</b><span>mIoU: not validated yet</span>".into() };
    let of = if last.images > 0 { format!(" of {} images", last.images) } else { String::new() };
    let rank = |v: &ValidationPoint| v.miou.unwrap_or(f64::NEG_INFINITY);
    let best = log.validations.iter().max_by(|a, b| rank(a).total_cmp(&rank(b))).filter(|best| rank(best) > rank(last));
    let best = best.map_or(String::new(), |b| format!("<span>best {} at step {}</span>", share(b.miou), b.step));
    format!("<b>{}</b><span>mIoU{of} at step {}</span>{best}", share(last.miou), last.step)
}

/// What is known of the run: title and value of each fact. A file that is missing or of an older version says less.
fn facts(run_dir: &Path, log: &RunHistory) -> Vec<(&'static str, String)> {
    let read = |file: &str| fs::read_to_string(run_dir.join(file)).unwrap_or_default();
    let config: toml::Table = read("config.toml").parse().unwrap_or_default();
    let environment: serde_json::Value = serde_json::from_str(&read("environment.json")).unwrap_or_default();
    let text = |key: &str| environment.get(key).and_then(|v| v.as_str()).filter(|v| !v.is_empty()).map(String::from);
    let mut facts = Vec::new();
    let mut add = |title, value: Option<String>| facts.extend(value.map(|value| (title, value)));
    add("Data set", text("data").or(text("data_fingerprint").map(|f| format!("fingerprint {}", short(&f)))));
    add("Network", network(&config));
    add("Training", training(&config));
    add("Date", log.times.map(|(first, last)| format!("{} to {} UTC", date(first), date(last))));
    add(
        "Duration",
        log.times
            .map(|(first, last)| format!("{}, from the first line of the log to the last", duration(last - first))),
    );
    let machine = [text("device"), text("cpu"), text("system")].into_iter().flatten().collect::<Vec<_>>().join(", ");
    add("Machine", Some(machine).filter(|machine| !machine.is_empty()));
    add("Version", text("version"));
    let words = environment
        .get("command")
        .and_then(|v| v.as_array())
        .map(|words| words.iter().filter_map(|word| word.as_str()).map(quoted).collect::<Vec<_>>().join(" "));
    add("Command", words.filter(|words| !words.is_empty()));
    facts
}

fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(12).collect()
}

/// A word of a command line as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// `FCN-8s on vgg16-bn, width 0.125`, from the keys of the configuration.
fn network(config: &toml::Table) -> Option<String> {
    let text = |key: &str| config.get(key).and_then(|v| v.as_str());
    let name = match (text("model")?, text("variant"), text("backbone")) {
        ("fcn", Some(variant), Some(trunk)) => format!("FCN-{variant} on {trunk}"),
        (model, ..) => model.to_string(),
    };
    let width = config.get("width").filter(|width| width.as_float() != Some(1.0));
    Some(width.map_or(name.clone(), |width| format!("{name}, width {width}")))
}

/// `700 steps of 8 crops of 128 pixels, adamw at 0.002, seed 0`.
fn training(config: &toml::Table) -> Option<String> {
    let value = |key: &str| config.get(key).map(|v| v.as_str().map_or(v.to_string(), String::from));
    Some(format!(
        "{} steps of {} crops of {} pixels, {} at {}, seed {}",
        value("steps")?,
        value("batch")?,
        value("crop")?,
        value("optimizer")?,
        value("lr")?,
        value("seed")?
    ))
}

fn cards(log: &RunHistory) -> String {
    let card = |title: &str, value: String| format!("<div class=card><span>{title}</span><b>{value}</b></div>");
    let mut out = String::new();
    if let Some(last) = log.validations.last() {
        for (title, value) in [
            ("pixel accuracy", last.pixel_accuracy),
            ("mean accuracy", last.mean_accuracy),
            ("frequency-weighted IoU", last.fw_iou),
            ("boundary IoU", last.boundary_iou),
            ("mean of per-image mIoU", last.mean_image_iou),
            ("validation loss", last.loss),
        ] {
            out += &card(title, share(value));
        }
    }
    if let Some(step) = log.last_step {
        out += &card("training loss", share(Some(step.loss).filter(|l| l.is_finite())));
        if step.images_per_s.is_finite() {
            out += &card("images / s", format!("{:.1}", step.images_per_s));
        }
    }
    format!("<div class=cards>{out}</div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_trainings_are_named_from_the_configuration() {
        let config: toml::Table =
            "model = 'fcn'\nvariant = '8s'\nbackbone = 'vgg16-bn'\nwidth = 0.125\nsteps = 700\nbatch = 8\n\
            crop = 128\noptimizer = 'adamw'\nlr = 0.002\nseed = 0"
                .parse()
                .unwrap();
        assert_eq!(network(&config).unwrap(), "FCN-8s on vgg16-bn, width 0.125");
        assert_eq!(training(&config).unwrap(), "700 steps of 8 crops of 128 pixels, adamw at 0.002, seed 0");
        let unet: toml::Table = "model = 'unet'\nwidth = 1.0".parse().unwrap();
        assert_eq!((network(&unet).unwrap().as_str(), training(&unet)), ("unet", None));
        assert_eq!(network(&toml::Table::new()), None);
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (word, expected) in [("--lr", "--lr"), ("a b", "'a b'"), ("", "''"), ("it's", "'it'\\''s'")] {
            assert_eq!(quoted(word), expected);
        }
    }
}
