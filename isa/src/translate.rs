//! WGSL to SPIR-V, as wgpu makes it for the layer: without run-time checks.

use anyhow::{Context, Result};
use ash::vk::DescriptorType;
use naga::back::{PipelineConstants, pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// A compute shader with what it binds.
pub struct Shader {
    pub entry: String,
    pub spirv: Vec<u32>,
    /// The bindings of each group: their number and kind.
    pub groups: Vec<Vec<(u32, DescriptorType)>>,
}

/// The shader for a workgroup size and a tile.
pub fn translate(source: &str, workgroup: u32, tile: u32) -> Result<Shader> {
    let module = naga::front::wgsl::parse_str(source).context("no WGSL")?;
    let info = Validator::new(
        ValidationFlags::all(),
        Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_FLOAT16_IN_FLOAT32,
    )
    .validate(&module)?;
    let constants: PipelineConstants =
        [("WORKGROUP".to_owned(), workgroup.into()), ("TILE".to_owned(), tile.into())].into_iter().collect();
    let entry = module.entry_points[0].name.clone();
    let stage = naga::ShaderStage::Compute;
    let (module, info) = process_overrides(&module, &info, Some((stage, &entry)), &constants)?;
    let unchecked = BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS,
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ray_query_initialization_tracking: false,
        emit_int_div_checks: false,
        ..Default::default()
    };
    let pipeline = spv::PipelineOptions { entry_point: entry.clone(), shader_stage: stage };
    let spirv = spv::write_vec(&module, &info, &options, Some(&pipeline))?;
    let mut groups = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let kind = match variable.space {
            naga::AddressSpace::Uniform => DescriptorType::UNIFORM_BUFFER,
            naga::AddressSpace::Storage { .. } => DescriptorType::STORAGE_BUFFER,
            _ => continue,
        };
        let Some(place) = variable.binding else { continue };
        groups.resize(groups.len().max(place.group as usize + 1), Vec::new());
        groups[place.group as usize].push((place.binding, kind));
    }
    Ok(Shader { entry, spirv, groups })
}
