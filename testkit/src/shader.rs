//! Shaders as text, without a device: whether naga accepts them, and where a bracket closes.

use naga::Module;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// Whether a shader of this name accesses two bytes at a time, which takes wgpu's `SHADER_F16`.
pub fn has_half_access(name: &str) -> bool {
    name.contains("_f16_halves")
}

/// A shader as naga reads it, with no capability beyond what every WebGPU device has (unpack2x16float is one) but for
/// accesses of two bytes; or why it is invalid.
pub fn validated(name: &str, source: &str) -> Result<(Module, ModuleInfo), String> {
    let wrong = |text: String| format!("{name}: {text}");
    let module = naga::front::wgsl::parse_str(source).map_err(|error| wrong(error.emit_to_string(source)))?;
    let halves = if has_half_access(name) { Capabilities::SHADER_FLOAT16 } else { Capabilities::empty() };
    let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32 | halves;
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    let info = info.map_err(|error| wrong(error.emit_to_string(source)))?;
    Ok((module, info))
}

/// Where the bracket closes that was opened before the text.
pub(crate) fn closing_bracket(text: &str) -> usize {
    let mut depth = 1;
    let end = text.find(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        depth == 0
    });
    end.expect("brackets match")
}
