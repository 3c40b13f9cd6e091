//! Mesa's compiler for AMD's GPUs (RADV), which needs no GPU: `RADV_FORCE_FAMILY` names the one to compile for.

use std::ffi::{CStr, CString};

use anyhow::{Context, Result, ensure};
use ash::vk;

use crate::translate::Shader;

/// A device that compiles and cannot run anything.
pub struct Compiler {
    device: ash::Device,
    executable: ash::khr::pipeline_executable_properties::Device,
    /// The GPU's name and the driver's version.
    pub name: String,
    _instance: ash::Instance,
    _entry: ash::Entry,
}

/// What the compiler made of a shader.
pub struct Compiled {
    pub statistics: Vec<(String, u64)>,
    pub assembly: String,
}

impl Compiled {
    /// A statistic by its name.
    pub fn statistic(&self, name: &str) -> Option<u64> {
        self.statistics.iter().find(|(of, _)| of == name).map(|(_, value)| *value)
    }
}

impl Compiler {
    /// Opens the first Vulkan device, which must be of RADV.
    pub fn open() -> Result<Self> {
        // SAFETY: plain calls of Vulkan, in order, with structures that outlive them.
        unsafe {
            let entry = ash::Entry::load().context("there is no Vulkan loader")?;
            let app = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let instance =
                entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&app), None)?;
            let physical = instance.enumerate_physical_devices()?.into_iter().next();
            let physical = physical.context("there is no Vulkan device: is VK_ICD_FILENAMES RADV's?")?;
            let mut driver = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
            instance.get_physical_device_properties2(physical, &mut properties);
            let device_name = properties.properties.device_name_as_c_str()?.to_string_lossy().into_owned();
            let name = format!("{device_name}, {}", driver.driver_info_as_c_str()?.to_string_lossy());
            ensure!(
                driver.driver_id == vk::DriverId::MESA_RADV,
                "{name} is not RADV: set VK_ICD_FILENAMES and RADV_FORCE_FAMILY"
            );
            let device = logical(&instance, physical)?;
            let executable = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Self { device, executable, name, _instance: instance, _entry: entry })
        }
    }

    pub fn compile(&self, shader: &Shader) -> Result<Compiled> {
        // SAFETY: as above; all that is made here is destroyed here, after its last use.
        unsafe {
            let spirv = vk::ShaderModuleCreateInfo::default().code(&shader.spirv);
            let module = self.device.create_shader_module(&spirv, None)?;
            let mut sets = Vec::new();
            for group in &shader.groups {
                let bindings: Vec<_> =
                    group.iter().map(|&(binding, kind)| of_binding(binding, kind)).collect();
                let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
                sets.push(self.device.create_descriptor_set_layout(&info, None)?);
            }
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = self.device.create_pipeline_layout(&info, None)?;
            let entry = CString::new(shader.entry.as_str())?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&entry);
            let capture = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = vk::ComputePipelineCreateInfo::default().flags(capture).stage(stage).layout(layout);
            let made = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = made.map_err(|(_, error)| error)?[0];
            let compiled =
                Compiled { statistics: self.statistics(pipeline)?, assembly: self.assembly(pipeline)? };
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_pipeline_layout(layout, None);
            sets.into_iter().for_each(|set| self.device.destroy_descriptor_set_layout(set, None));
            self.device.destroy_shader_module(module, None);
            Ok(compiled)
        }
    }

    unsafe fn statistics(&self, pipeline: vk::Pipeline) -> Result<Vec<(String, u64)>> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the pipeline is alive, and all of RADV's statistics are unsigned.
        let all = unsafe { self.executable.get_pipeline_executable_statistics(&info)? };
        let named = all
            .iter()
            .map(|s| Ok((s.name_as_c_str()?.to_string_lossy().into_owned(), unsafe { s.value.u64 })));
        named.collect()
    }

    unsafe fn assembly(&self, pipeline: vk::Pipeline) -> Result<String> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // Twice: sizes, then the data, which ash's own call leaves out.
        let get = self.executable.fp().get_pipeline_executable_internal_representations_khr;
        // SAFETY: the pipeline is alive, and each buffer has the size that the first call said.
        unsafe {
            let mut all = self.executable.get_pipeline_executable_internal_representations(&info)?;
            let mut data: Vec<Vec<u8>> = all.iter().map(|r| vec![0; r.data_size]).collect();
            for (representation, bytes) in all.iter_mut().zip(&mut data) {
                representation.p_data = bytes.as_mut_ptr().cast();
            }
            let mut count = all.len() as u32;
            get(self.device.handle(), &info, &mut count, all.as_mut_ptr()).result()?;
            let mut texts = all.iter().zip(&data);
            let (_, bytes) = texts
                .find(|(r, _)| r.name_as_c_str().is_ok_and(|name| name.to_string_lossy().contains("ssembly")))
                .context("the driver gives no assembly")?;
            Ok(CStr::from_bytes_until_nul(bytes)?.to_string_lossy().into_owned())
        }
    }
}

/// A device with what wgpu asks for: robust access to buffers; and with what tells about pipelines.
unsafe fn logical(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<ash::Device> {
    let mut capture =
        vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
    let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
    let mut halves = vk::PhysicalDeviceShaderFloat16Int8Features::default().shader_float16(true);
    let mut storage = vk::PhysicalDevice16BitStorageFeatures::default().storage_buffer16_bit_access(true);
    let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
    let queue = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
    let extensions =
        [vk::KHR_PIPELINE_EXECUTABLE_PROPERTIES_NAME.as_ptr(), vk::EXT_ROBUSTNESS2_NAME.as_ptr()];
    let info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queue)
        .enabled_extension_names(&extensions)
        .enabled_features(&features)
        .push_next(&mut capture)
        .push_next(&mut robust)
        .push_next(&mut halves)
        .push_next(&mut storage);
    // SAFETY: everything the info points to is alive.
    Ok(unsafe { instance.create_device(physical, &info, None)? })
}

fn of_binding(binding: u32, kind: vk::DescriptorType) -> vk::DescriptorSetLayoutBinding<'static> {
    vk::DescriptorSetLayoutBinding::default()
        .binding(binding)
        .descriptor_type(kind)
        .descriptor_count(1)
        .stage_flags(vk::ShaderStageFlags::COMPUTE)
}
