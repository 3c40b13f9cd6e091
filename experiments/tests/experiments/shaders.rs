//! Every shader passes validation and stays within the limits that all devices share. Needs no GPU.

use batchnorm_experiments::kernels::SOURCES;
use naga::valid::{Capabilities, ValidationFlags, Validator};

#[test]
fn shaders_are_valid_and_within_the_default_limits() {
    for (name, source) in SOURCES {
        let module =
            naga::front::wgsl::parse_str(source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(source)));
        Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(source, name)));
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).expect("a validated module has a layout");
        let workgroup: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
            .map(|(_, variable)| layouter[variable.ty].size)
            .sum();
        assert!(workgroup <= 16384, "{name}: {workgroup} bytes of workgroup memory");
        for entry in &module.entry_points {
            let invocations: u32 = entry.workgroup_size.iter().product();
            assert!(invocations <= 256, "{name}, {}: {invocations} invocations", entry.name);
        }
    }
}
