//! Files that lie or expand, through `fcn info` and `fcn import`: each is refused, or described, with a second of the
//! processor and 64 MiB of memory at most, and nothing waits for a pipe.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod program;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use program::{fcn, stderr};

const MAX_BYTES: i64 = 64 << 20;
const MAX_CPU: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });

/// The beginning of a file of torch.save before 1.6: the magic number, the version, facts about the machine.
const LEGACY: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";

/// A stored zip entry that its directory calls deflated from `claimed` bytes.
fn zip_bomb(claimed: u32) -> Vec<u8> {
    let name = b"a/data.pkl";
    let sizes = [0, 8, claimed].map(u32::to_le_bytes).concat();
    let common = [&[20, 0, 0, 0, 8, 0, 0, 0, 0, 0][..], &sizes, &[10, 0, 0, 0]].concat();
    let local = [b"PK\x03\x04", &common[..], name, &[0; 8]].concat();
    let entry = [b"PK\x01\x02\x14\0", &common[..], &[0; 14], name].concat();
    let end = [
        &b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..],
        &(entry.len() as u32).to_le_bytes(),
        &(local.len() as u32).to_le_bytes(),
        &[0, 0],
    ];
    [&local, &entry, &end.concat()].map(|part| &part[..]).concat()
}

/// A TensorFlow table whose footer says that the index has 4 GiB.
fn table() -> Vec<u8> {
    let mut file = vec![0; 64];
    let mut footer = vec![0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x10];
    footer.resize(40, 0);
    file.extend(footer);
    file.extend(0xdb47_7524_8b80_fb57u64.to_le_bytes());
    file
}

fn safetensors(header_bytes: u64, header: &str) -> Vec<u8> {
    [&header_bytes.to_le_bytes(), header.as_bytes()].concat()
}

/// Processor time of all programs run so far, and the most memory that one of them had.
fn used() -> (Duration, i64) {
    // SAFETY: all zeros are a value of this struct of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live struct of the type that the call fills.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) }, 0);
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    // Linux counts KiB, Apple's systems bytes.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    (time(usage.ru_utime) + time(usage.ru_stime), usage.ru_maxrss * unit)
}

#[test]
fn no_file_costs_more_than_a_second_and_64_mib() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let shape = format!(r#"{{"a":{{"dtype":"F32","shape":[{}0],"data_offsets":[0,0]}}}}"#, "0,".repeat(500_000));
    let line = |i: usize| format!(r#""{i:x}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    let many = format!("{{{}}}", (0..18_000).map(line).collect::<Vec<_>>().join(","));
    let json = format!(r#"{{"__metadata__":{{"classes":"[{}0]"}}}}"#, "0,".repeat(500_000));
    let doubling = [LEGACY, b"\x80\x02]q\0", &b"(h\0h\0tq\0".repeat(12), b"."].concat();
    let nested = [LEGACY, b"\x80\x02", &b"(".repeat(2 << 20)].concat();
    let files: Vec<(&str, Vec<u8>, Option<i32>)> = vec![
        ("doubling.pth", doubling, Some(4)),
        ("nested.pth", nested, Some(4)),
        ("4gib.pth", [LEGACY, b"\x80\x02X\xff\xff\xff\xffa"].concat(), Some(4)),
        ("8eib.pth", [LEGACY, b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa"].concat(), Some(4)),
        ("bomb.pth", zip_bomb(u32::MAX - 1), Some(4)),
        ("4gib.ckpt", table(), Some(4)),
        ("4gib.index", table(), Some(4)),
        ("4gib.safetensors", safetensors(4 << 30, "{}"), Some(4)),
        ("lie.safetensors", safetensors(u64::MAX, "{}"), Some(4)),
        ("shape.safetensors", safetensors(shape.len() as u64, &shape), None),
        ("many.safetensors", safetensors(many.len() as u64, &many), None),
        ("json.safetensors", safetensors(json.len() as u64, &json), None),
        ("4gib.onnx", vec![8, 8, 0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f], Some(4)),
        ("many.onnx", [&[8, 8, 0x3a, 0x80, 0x80, 0x80, 1][..], &[0x2a, 0].repeat(1 << 20)].concat(), Some(4)),
        // The length 4 GiB with its checksum.
        ("4gib.tfrecord", b"\0\0\0\0\x01\0\0\0\xb2\x8d\xe7\xd2".to_vec(), Some(3)),
    ];
    for (name, bytes, _) in &files {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    // Nothing but its length, so that it takes no room here.
    let sparse = |name: &str, bytes: u64, start: &[u8]| {
        std::fs::write(dir.join(name), start).unwrap();
        File::options().write(true).open(dir.join(name)).unwrap().set_len(bytes).unwrap();
    };
    sparse("header.safetensors", 96 << 20, &safetensors(90 << 20, "{"));
    sparse("sparse.pth", 4 << 30, LEGACY);
    sparse("sparse.ckpt", 4 << 30, b"");
    sparse("sparse", 4 << 30, b"");
    let mut cases: Vec<(String, Option<i32>)> = files.iter().map(|(name, _, code)| (name.to_string(), *code)).collect();
    cases.extend(["header.safetensors", "sparse.pth", "sparse.ckpt", "sparse"].map(|name| (name.to_string(), None)));
    for end in [".pth", ".safetensors", ".onnx", ".ckpt", ".index", ".tfrecord", ""] {
        let pipe = format!("pipe{end}");
        assert!(std::process::Command::new("mkfifo").arg(dir.join(&pipe)).status().unwrap().success());
        cases.push((pipe, None));
    }
    let mut wrong = Vec::new();
    for (name, code) in cases {
        for command in
            [format!("info {name}"), format!("info {name} --json"), format!("import {name} --out out.safetensors")]
        {
            wrong.extend(fault(dir, &command, code.filter(|_| command.starts_with("info"))));
        }
    }
    std::fs::create_dir(dir.join("masks")).unwrap();
    std::fs::create_dir(dir.join("images")).unwrap();
    sparse("sparse.txt", 4 << 30, b"");
    std::fs::write(dir.join("many.txt"), "0 a\n".repeat(400_000)).unwrap();
    for list in ["sparse.txt", "many.txt", "pipe"] {
        wrong.extend(fault(dir, &format!("info . --classes {list}"), None));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(!dir.join("out.safetensors").exists());
}

/// What is wrong with how `command` ends and what it takes; `code` is how it must end, `None` for any way but a panic or
/// a signal.
fn fault(dir: &Path, command: &str, code: Option<i32>) -> Option<String> {
    let ((before, most_before), started) = (used(), Instant::now());
    let output = fcn(dir, command);
    let (after, most) = used();
    let ended = output.status.code();
    let as_it_must = code.map_or(matches!(ended, Some(0 | 2..=5)), |code| ended == Some(code));
    let cheap = after - before <= MAX_CPU && most <= most_before.max(MAX_BYTES) && started.elapsed() < 20 * MAX_CPU;
    (!as_it_must || !cheap).then(|| {
        let said: String = stderr(&output).chars().take(300).collect();
        format!("{command}: {ended:?}, {:?}, at most {} MiB: {said}", after - before, most >> 20)
    })
}
