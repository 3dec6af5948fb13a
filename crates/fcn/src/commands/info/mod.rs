//! `fcn info`: what a weights file, record file, run or data set is.
//!
//! `describe` recognises what lies at a path and reads its headers, `picture` an image file; this page turns the description
//! into lines. Weights themselves are never read.

mod describe;
mod picture;

use std::path::PathBuf;

use self::describe::{Info, Onnx, RunLine, TensorLine, Tensors, describe};
use fcn_core::Result;
use fcn_core::export::onnx::OnnxValue;
use fcn_core::network::ModelMeta;
use segdata::image::preprocessing::Preprocessing;

use crate::flags::global::Global;
use crate::flags::size::parse_size;
use crate::report;

/// Say what a file or folder is.
///
/// Knows weights files (`.safetensors`), ONNX files, TensorFlow checkpoints, PyTorch files, record files, checkpoints,
/// run folders and folders of them, data sets, photographs and masks. Reads no weights. Long lists are shortened; -v shows all.
///
/// Example: fcn info runs/voc
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// File or folder
    path: PathBuf,
    /// Height x width in pixels of the image whose cost is told
    #[arg(long, value_name = "HxW", default_value = "512x512")]
    size: String,
    /// Class list, where a data set brings none
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    let info = describe(&args.path, args.classes.as_deref(), parse_size(&args.size)?)?;
    match global.json {
        true => report::print_json(&info),
        false => {
            report::print_line(&text(&info, global.verbose));
            Ok(())
        }
    }
}

fn text(info: &Info, all: bool) -> String {
    match info {
        Info::Weights(found) => tensors_text("weights file", found, all),
        Info::Safetensors(found) => foreign_text("safetensors file without this program's metadata", found, all),
        Info::Onnx(found) => onnx_text(found, all),
        Info::PyTorch(found) => foreign_text("PyTorch file", found, all),
        Info::TensorFlow(found) => foreign_text("TensorFlow checkpoint", found, all),
        Info::Records(found) => {
            let rows: Vec<Vec<String>> = found.features.iter().map(|(k, v)| vec![k.clone(), v.clone()]).collect();
            let size = report::bytes(found.bytes);
            format!(
                "record file: {} records, {size}\n\n{}",
                found.records,
                report::table(&["feature", "in the first record"], &rows)
            )
        }
        Info::Run(found) => {
            let or_none = |value: Option<String>| value.unwrap_or("none yet".into());
            let mut lines = vec![
                "run".to_string(),
                format!("last logged step   {}", or_none(found.step.map(|s| s.to_string()))),
                format!("last mIoU          {}", or_none(found.miou.map(|m| format!("{m:.4}")))),
                format!(
                    "best mIoU          {}",
                    or_none(found.best.map(|b| format!("{:.4} at step {}", b.miou, b.step)))
                ),
            ];
            for line in &found.checkpoints {
                let state = line.fault.as_ref().map_or("whole".to_string(), |fault| format!("damaged: {fault}"));
                lines.push(format!("{}      {state}", line.name));
            }
            if let Some(weights) = &found.weights {
                lines.push(format!("\n{}", tensors_text("best weights", weights, all)));
            }
            lines.join("\n")
        }
        Info::Runs(found) => runs_text(found),
        Info::Picture(found) => picture::text(found, all),
        Info::DataSet(found) => {
            let rows: Vec<Vec<String>> = (found.splits.iter())
                .map(|s| {
                    vec![s.name.clone(), s.images.to_string(), s.problems.to_string(), s.fingerprint[..12].to_string()]
                })
                .collect();
            format!(
                "data set ({}), {} classes: {}\n\n{}",
                found.form,
                found.classes.len(),
                found.classes.names.join(", "),
                report::table(&["split", "images", "problems", "fingerprint"], &rows)
            )
        }
    }
}

fn runs_text(found: &[RunLine]) -> String {
    let row = |run: &RunLine| {
        let shown = |value: Option<f64>| value.map_or("n/a".to_string(), |value| format!("{value:.4}"));
        let best = run.best.map_or("n/a".to_string(), |b| format!("{:.4} at {}", b.miou, b.step));
        vec![run.name.clone(), run.step.map_or("0".into(), |s| s.to_string()), shown(run.miou), best]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    format!("{} runs\n\n{}", found.len(), report::table(&["run", "step", "last mIoU", "best mIoU"], &rows))
}

/// Lines of a list that are shown before the rest is left out, and after it.
const SHOWN_FIRST: usize = 6;
const SHOWN_LAST: usize = 4;

/// Characters of a metadata value that are shown.
const SHOWN_CHARS: usize = 90;

fn tensors_text(what: &str, found: &Tensors, all: bool) -> String {
    let mut lines = vec![format!("{what}: {}", found.file.display())];
    lines.extend(facts(found, all));
    lines.push(format!("\n{}", tensor_table(&found.tensors, all)));
    lines.join("\n")
}

/// A file that `fcn import` reads.
fn foreign_text(what: &str, found: &Tensors, all: bool) -> String {
    let mut lines = vec![format!("{what}: {}", found.file.display())];
    lines.extend(facts(found, all));
    lines.push(match &found.input {
        Some(input) => format!("{}, as {} says", input_line(&input.preprocessing), input.told_by),
        None => "input       the file does not say; `fcn import` takes --input-convention".to_string(),
    });
    lines.push(format!("\n{}", tensor_table(&found.tensors, all)));
    lines.join("\n")
}

fn onnx_text(found: &Onnx, all: bool) -> String {
    let counted = |(name, count): (&String, &usize)| format!("{count} {name}");
    let versioned = |(name, version): (&String, &i64)| format!("{name} {version}");
    let value = |v: &OnnxValue| format!("{} {} [{}]", v.name, v.dtype, v.shape.join(", "));
    let mut lines = vec![
        format!("ONNX file: {}", found.tensors.file.display()),
        format!("written by  {}", found.producer),
        format!("operators   {}", found.opsets.iter().map(versioned).collect::<Vec<_>>().join(", ")),
        format!("nodes       {}", found.operators.iter().map(counted).collect::<Vec<_>>().join(", ")),
        format!("in          {}", shortened(found.inputs.iter().map(value).collect(), all).join("\n            ")),
        format!("out         {}", shortened(found.outputs.iter().map(value).collect(), all).join("\n            ")),
    ];
    lines.extend(facts(&found.tensors, all));
    lines.push(format!("\n{}", tensor_table(&found.tensors.tensors, all)));
    lines.join("\n")
}

/// What there is to say about named tensors besides the table of them.
fn facts(found: &Tensors, all: bool) -> Vec<String> {
    let mut lines = vec![format!("parameters  {} in {} tensors", found.parameters, found.tensors.len())];
    lines.extend(found.cost.map(|cost| {
        let [height, width] = cost.size;
        let (operations, products) = (cost.flops as f64 / 1e9, cost.multiply_adds as f64 / 1e9);
        format!("cost        {operations:.2} GFLOPs ({products:.2} G multiply-adds) at {height}x{width}")
    }));
    match (&found.network, all) {
        (Some(network), false) => lines.extend(network_lines(network)),
        _ => {
            lines.extend(found.metadata.iter().map(|(key, value)| format!("{key:10}  {}", cut(&json(value), all))));
        }
    }
    lines
}

fn network_lines(network: &ModelMeta) -> [String; 3] {
    let geometry = network.as_fcn().map_or(String::new(), |spec| format!(", geometry {}", json(&spec.geometry)));
    let architecture = &network.architecture;
    [
        format!("network     {}, width {}{geometry}", architecture.title(), architecture.width()),
        format!("classes     {}: {}", network.classes.len(), cut(&network.classes.names.join(", "), false)),
        input_line(&network.preprocessing),
    ]
}

fn input_line(input: &Preprocessing) -> String {
    let Preprocessing { channels, scale, mean, std } = input;
    format!("input       {}, 0 to 255: (x * {scale} - {mean:?}) / {std:?}", json(channels))
}

/// A value as JSON has it, text without its quotes.
fn json(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

fn cut(text: &str, all: bool) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) if !all => format!("{}...", &text[..at]),
        _ => text.to_string(),
    }
}

fn tensor_table(tensors: &[TensorLine], all: bool) -> String {
    let rows: Vec<Vec<String>> = (tensors.iter())
        .map(|t| {
            let shape: Vec<String> = t.shape.iter().map(usize::to_string).collect();
            vec![t.name.clone(), t.dtype.clone(), shape.join("x")]
        })
        .collect();
    let table = report::table(&["tensor", "type", "shape"], &rows);
    let (header, lines) = table.split_once('\n').unwrap_or((&table, ""));
    let lines = shortened(lines.lines().map(str::to_string).collect(), all);
    format!("{header}\n{}", lines.join("\n"))
}

/// A list in which the middle is left out where it is long.
fn shortened(mut lines: Vec<String>, all: bool) -> Vec<String> {
    let left_out = lines.len().saturating_sub(SHOWN_FIRST + SHOWN_LAST);
    if left_out > 1 && !all {
        let gap = format!("... {left_out} more; -v shows all");
        lines.splice(SHOWN_FIRST..SHOWN_FIRST + left_out, [gap]);
    }
    lines
}
