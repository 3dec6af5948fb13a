//! What a run ran on: written into the run folder, so that a number can be traced to a machine and a command.

use std::path::Path;

use serde::Serialize;

use crate::{Error, Result};

/// The contents of `environment.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Version of the program.
    pub version: &'static str,
    /// The command line, as given.
    pub command: Vec<String>,
    /// Model name of the processor.
    pub cpu: String,
    /// Processors that the system grants.
    pub cores: usize,
    /// Worker threads in use.
    pub threads: usize,
    /// Where tensors live.
    pub device: String,
    /// Operating system and architecture.
    pub system: String,
    /// The data set, as it was named.
    pub data: String,
    /// Fingerprint of the training split.
    pub data_fingerprint: String,
}

impl Environment {
    /// Looks around.
    pub fn of(command: &[String], device: &str, data: &Path, data_fingerprint: &str) -> Self {
        Environment {
            version: env!("CARGO_PKG_VERSION"),
            command: command.to_vec(),
            cpu: cpu_model(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: rayon::current_num_threads(),
            device: device.to_string(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            data: data.display().to_string(),
            data_fingerprint: data_fingerprint.to_string(),
        }
    }

    /// Writes `environment.json` into `run`.
    ///
    /// # Errors
    /// A refusal by the system.
    pub fn write(&self, run: &Path) -> Result<()> {
        let path = run.join("environment.json");
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::internal(format!("cannot write the environment as JSON: {e}")))?;
        std::fs::write(&path, text).map_err(|e| Error::io("write", &path, &e))
    }
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "unknown".to_string(), |(_, name)| name.trim().to_string())
}

/// Most memory this process has had at once, in bytes; 0 where the system does not say.
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map_or(0, |kib: u64| kib * 1024)
}

/// Memory that new work may take without swapping, in bytes, by the system's own estimate; `None` where it makes none.
pub fn available_memory_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?.trim().parse().ok())?;
    Some(kib * 1024)
}

/// Bytes as a person reads them where memory is short: `1.5 GiB`.
pub(crate) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_grows_with_what_is_touched() {
        let before = super::peak_rss_bytes();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(super::peak_rss_bytes() >= before.max(block.len() as u64));
        assert!(super::available_memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
