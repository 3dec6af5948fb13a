//! `fcn info`: what a weights file, record file, run or data set is.

use std::path::PathBuf;

use fcn_core::Result;
use fcn_core::info::{Info, Tensors, describe};

use super::Global;
use super::bench::parse_size;
use crate::report;

/// Say what a file or folder is.
///
/// Knows weights files (`.safetensors`), TensorFlow checkpoints, record files, checkpoints, run folders and data sets.
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
            report::print_line(&text(&info));
            Ok(())
        }
    }
}

fn text(info: &Info) -> String {
    match info {
        Info::Weights(found) => tensors_text("weights file", found),
        Info::Safetensors(found) => tensors_text("safetensors file without this program's metadata", found),
        Info::TensorFlow(found) => tensors_text("TensorFlow checkpoint", found),
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
                lines.push(format!("\n{}", tensors_text("best weights", weights)));
            }
            lines.join("\n")
        }
        Info::DataSet(found) => {
            let rows: Vec<Vec<String>> = (found.splits.iter())
                .map(|s| {
                    vec![s.name.clone(), s.images.to_string(), s.problems.to_string(), s.fingerprint[..12].to_string()]
                })
                .collect();
            format!(
                "data set ({:?}), {} classes: {}\n\n{}",
                found.form,
                found.classes.len(),
                found.classes.names.join(", "),
                report::table(&["split", "images", "problems", "fingerprint"], &rows)
            )
        }
    }
}

fn tensors_text(what: &str, found: &Tensors) -> String {
    let mut lines = vec![format!("{what}: {}", found.file.display()), format!("parameters  {}", found.parameters)];
    lines.extend(found.metadata.iter().map(|(key, value)| format!("{key}  {value}")));
    if let Some(cost) = found.cost {
        let [height, width] = cost.size;
        lines.push(format!("cost  {:.2} G multiply-adds at {height}x{width}", cost.multiply_adds as f64 / 1e9));
    }
    let rows: Vec<Vec<String>> = (found.tensors.iter())
        .map(|t| {
            let shape: Vec<String> = t.shape.iter().map(usize::to_string).collect();
            vec![t.name.clone(), t.dtype.clone(), shape.join("x")]
        })
        .collect();
    lines.push(format!("\n{}", report::table(&["tensor", "type", "shape"], &rows)));
    lines.join("\n")
}
