//! Any bytes as a reference file: what can be read of them is run by the CPU twin and compared.
#![no_main]

use libfuzzer_sys::fuzz_target;
use testkit::conformance::compare::compare;
use testkit::conformance::cpu::run;
use testkit::conformance::read::read;

fuzz_target!(|bytes: &[u8]| {
    let Ok(case) = read(bytes) else { return };
    if let Ok(results) = run(&case) {
        let _ = compare(&case, &results);
    }
});
