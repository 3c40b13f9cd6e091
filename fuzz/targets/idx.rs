//! Any bytes as an IDX file: as many bytes as its header announces, or an error.
#![no_main]

use batchnorm_experiments::data::parse_idx;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for axes in [1, 3] {
        if let Ok((size, values)) = parse_idx(bytes.to_vec(), axes) {
            assert_eq!((size.len(), size.iter().product::<usize>()), (axes, values.len()));
        }
    }
});
