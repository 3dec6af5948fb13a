//! What kind of file some bytes begin.

use super::kind::Kind;
use super::table::{BRANDS, JSON, MARKED, ONNX, SVG, TARGA, TEXT, WEB_PAGE, XML, ZEROS};

/// Bytes that are looked at to know text.
const TEXT_BYTES: usize = 512;

/// What Targa 2.0 files end with (Truevision TGA, version 2.0, C.6.2).
const TARGA_END: &[u8] = b"TRUEVISION-XFILE.\0";

/// The kind of file that begins with `bytes`, or consists of them; `None` where they are those of no kind known here.
/// 512 bytes are enough but for Targa images, which are known by their last ones.
pub fn kind_of(bytes: &[u8]) -> Option<Kind> {
    if !bytes.is_empty() && bytes.iter().all(|&b| b == 0) {
        return Some(ZEROS);
    }
    let has = |&(at, mark): &(usize, &[u8])| bytes.get(at..).is_some_and(|rest| rest.starts_with(mark));
    if has(&(4, b"ftyp")) {
        let brands = bytes.get(8..bytes.len().min(64)).unwrap_or_default();
        // AVIF is a kind of HEIF, and may say so second.
        let avif = brands.windows(4).position(|brand| brand == b"avif").filter(|_| brands.starts_with(b"mif1"));
        let brand = brands.get(avif.unwrap_or(0)..).unwrap_or_default();
        return BRANDS.iter().find(|(start, _)| brand.starts_with(start)).map(|(_, kind)| *kind);
    }
    if bytes.ends_with(TARGA_END) {
        return Some(TARGA);
    }
    if let Some((kind, _)) = MARKED.iter().find(|(_, marks)| marks.iter().all(has)) {
        return Some(*kind);
    }
    if is_onnx(bytes) {
        return Some(ONNX);
    }
    text(&bytes[..bytes.len().min(TEXT_BYTES)])
}

/// An ONNX model is a protobuf message (onnx.proto): `ir_version`, a number of 3 or more, then the producer's name and
/// version, the domain, or the graph.
fn is_onnx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 3..=20, 0x12 | 0x1a | 0x22 | 0x3a | 0x42, ..])
}

fn text(start: &[u8]) -> Option<Kind> {
    let words = match std::str::from_utf8(start) {
        Ok(words) => words,
        // The last character may be cut in two.
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&start[..e.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let words = words.trim_start_matches('\u{feff}').trim_start();
    if words.is_empty() || words.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let lower = words.to_ascii_lowercase();
    Some(match lower.as_str() {
        page if page.contains("<html") || page.starts_with("<!doctype html") => WEB_PAGE,
        drawing if drawing.contains("<svg") => SVG,
        xml if xml.starts_with("<?xml") => XML,
        json if json.starts_with(['{', '[']) => JSON,
        _ => TEXT,
    })
}
