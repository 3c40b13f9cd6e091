//! Any text as wisdom: printed and read again it is the same, and merging it with itself changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgpu_batchnorm::Wisdom;

fuzz_target!(|text: &str| {
    let Ok(wisdom) = text.parse::<Wisdom>() else { return };
    let printed = wisdom.to_string();
    let mut again: Wisdom = printed.parse().expect("it was printed so");
    assert_eq!(again.to_string(), printed);
    again.merge(wisdom);
    assert_eq!(again.to_string(), printed);
});
