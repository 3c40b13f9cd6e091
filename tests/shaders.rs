//! Every shader, without a GPU: naga parses, validates, and translates it for Vulkan, Metal, Direct3D 12 and OpenGL.

use std::sync::LazyLock;

use naga::back::{PipelineConstants, glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::ModuleInfo;
use rayon::prelude::*;
use testkit::shader::{has_half_access, validated};
use wgpu_batchnorm::{DeviceProfile, View};

/// A shader as naga reads it.
struct Parsed {
    name: String,
    module: naga::Module,
    info: ModuleInfo,
}

/// The shaders of the layer, parsed once for all tests.
static SHADERS: LazyLock<Vec<Parsed>> = LazyLock::new(|| {
    let shaders = wgpu_batchnorm::shaders();
    assert!(shaders.len() > 100, "{} shaders", shaders.len());
    shaders.into_par_iter().map(|(name, source)| parsed(name, &source)).collect()
});

fn parsed(name: String, source: &str) -> Parsed {
    let (module, info) = validated(&name, source).unwrap_or_else(|error| panic!("{error}"));
    Parsed { name, module, info }
}

/// Each shader for each kind of workgroup, its overrides set.
fn for_each_shader(check: impl Fn(&str, &naga::Module, &ModuleInfo)) {
    let fold = parsed("fold_preceding".into(), &wgpu_batchnorm::fold::shader());
    for Parsed { name, module, info } in SHADERS.iter().chain([&fold]) {
        for (workgroup, tile) in [(8, 1), (64, 8)] {
            let mut constants: PipelineConstants = FromIterator::from_iter([
                ("WORKGROUP".to_owned(), f64::from(workgroup)),
                ("TILE".to_owned(), f64::from(tile)),
            ]);
            // Folding has neither.
            constants.retain(|name, _| {
                module.overrides.iter().any(|(_, given)| given.name.as_ref() == Some(name))
            });
            let (module, info) = process_overrides(module, info, None, &constants)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            check(name, &module, &info);
        }
    }
}

#[test]
fn spirv() {
    for_each_shader(|name, module, info| {
        spv::write_vec(module, info, &spv::Options::default(), None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    });
}

#[test]
fn metal() {
    let options = msl::Options { fake_missing_bindings: true, lang_version: (2, 4), ..Default::default() };
    for_each_shader(|name, module, info| {
        msl::write_string(module, info, &options, &msl::PipelineOptions::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    });
}

#[test]
fn direct3d() {
    for_each_shader(|name, module, info| {
        let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
            .write(module, info, None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!text.is_empty());
    });
}

/// OpenGL has no accesses of two bytes, so that nothing is planned with them there.
#[test]
fn opengl() {
    for_each_shader(|name, module, info| {
        if has_half_access(name) {
            return;
        }
        let options = glsl::Options {
            version: glsl::Version::Embedded { version: 310, is_webgl: false },
            ..Default::default()
        };
        let pipeline = glsl::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: module.entry_points[0].name.clone(),
            multiview: None,
        };
        let mut text = String::new();
        glsl::Writer::new(
            &mut text,
            module,
            info,
            &options,
            &pipeline,
            naga::proc::BoundsCheckPolicies::default(),
        )
        .unwrap_or_else(|error| panic!("{name}: {error}"))
        .write()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    });
}

/// What the layer asks of a device: WebGPU's default limits of storage buffers and of workgroup memory.
#[test]
fn default_limits_suffice() {
    for Parsed { name, module, info } in SHADERS.iter() {
        let storage = module
            .global_variables
            .iter()
            .filter(|(_, variable)| matches!(variable.space, naga::AddressSpace::Storage { .. }))
            .count();
        // Training in one dispatch with each vector of the layer in a buffer of its own binds 8. With more beside it, and with
        // three such things elsewhere, a plan counts the buffers: it is made for devices alone that bind so many.
        let words = ["_separate", "_residual", "_by_sign", "_dz", "_masked", "_guarded", "_commits"];
        let without_aliasing = name.replace("_residual_in_place", "");
        let beside = words.iter().filter(|word| without_aliasing.contains(**word)).count();
        let all = ["cached_", "persistent_"].iter().any(|kernel| name.starts_with(kernel));
        let counted = beside >= 3 || (all && beside == 2 && name.contains("_separate"));
        assert!(storage <= 8 || counted, "{name}: {storage} storage buffers");

        for (invocations, bytes) in [(256, 16384), (1024, 16384), (1024, 32768), (1024, 49152)] {
            let mut profile = DeviceProfile::integrated();
            (profile.max_workgroup, profile.max_workgroup_bytes) = (invocations, bytes);
            let workgroup = largest_workgroup(&profile, name);
            let used = workgroup_memory(module, info, workgroup);
            assert!(used <= bytes, "{name}: {used} bytes of workgroup memory for {workgroup} invocations");
        }
    }
}

/// The most invocations that a plan gives a workgroup of the shader.
fn largest_workgroup(profile: &DeviceProfile, name: &str) -> u32 {
    let view = if name.contains("_planes") { View::Planes } else { View::Rows };
    let packet = [16, 8, 4].into_iter().find(|packet| name.contains(&format!("_x{packet}"))).unwrap_or(1);
    profile.max_workgroup_of(view, packet)
}

/// Bytes of workgroup memory that the shader takes.
fn workgroup_memory(module: &naga::Module, info: &ModuleInfo, workgroup: u32) -> u32 {
    let constants: PipelineConstants =
        FromIterator::from_iter([("WORKGROUP".to_owned(), f64::from(workgroup))]);
    let (module, _) = process_overrides(module, info, None, &constants).unwrap();
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let shared = module.global_variables.iter().map(|(_, variable)| variable);
    let shared = shared.filter(|variable| variable.space == naga::AddressSpace::WorkGroup);
    shared.map(|variable| layouter[variable.ty].size).sum()
}

/// Twice as many invocations would not fit, or are more than the device takes: no plan is smaller than it has to be.
#[test]
fn workgroups_fill_their_memory() {
    for entry in ["split_moments_planes_x1", "split_moments_rows_x4", "split_moments_rows_x16"] {
        let Parsed { module, info, .. } = SHADERS.iter().find(|shader| shader.name == entry).unwrap();
        let mut profile = DeviceProfile::integrated();
        profile.max_workgroup = 1024;
        let workgroup = largest_workgroup(&profile, entry);
        let used = workgroup_memory(module, info, 2 * workgroup);
        assert!(workgroup == 1024 || used > profile.max_workgroup_bytes, "{entry}: {workgroup}, {used}");
    }
}
