//! Every tensor of a V2 checkpoint has as many values as its shape says. An input is the size of the index (u16 LE), the
//! index, and the bytes of both data files, which are the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tfio::Checkpoint;

fuzz_target!(|data: &[u8]| {
    let Some((&[low, high], rest)) = data.split_first_chunk::<2>() else { return };
    let Some((index, values)) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high]))) else { return };
    let Ok(checkpoint) = Checkpoint::from_v2_bytes(index.to_vec(), vec![values.to_vec(); 2]) else { return };
    for tensor in checkpoint.tensors() {
        let count = tensor.shape.iter().product();
        let axes: Vec<usize> = (0..tensor.shape.len()).rev().collect();
        let permuted = checkpoint.read_f32_permuted(&tensor.name, &axes).map(|values| values.len());
        let integers = checkpoint.read_i64(&tensor.name).map(|values| values.len());
        for found in [checkpoint.read_f32(&tensor.name).map(|values| values.len()), permuted, integers] {
            assert!(found.is_err() || found.is_ok_and(|found| found == count));
        }
    }
});
