//! Every tensor of a V1 checkpoint, plain and permuted, has as many values as its shape says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tfio::Checkpoint;

fuzz_target!(|data: &[u8]| {
    let Ok(checkpoint) = Checkpoint::from_v1_bytes(data.to_vec()) else { return };
    for tensor in checkpoint.tensors() {
        let count = tensor.shape.iter().product();
        let axes: Vec<usize> = (0..tensor.shape.len()).rev().collect();
        let plain = checkpoint.read_f32(&tensor.name).map(|values| values.len());
        let permuted = checkpoint.read_f32_permuted(&tensor.name, &axes).map(|values| values.len());
        assert!(plain.is_ok() == permuted.is_ok());
        for found in [plain, permuted, checkpoint.read_i64(&tensor.name).map(|values| values.len())] {
            assert!(found.is_err() || found.is_ok_and(|found| found == count));
        }
    }
});
