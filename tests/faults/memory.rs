//! A device without memory. What is allocated on a software adapter is the process's: a process of its own may take little
//! more than it has.

use std::process::Command;

use rlimit::Resource;
use testkit::layer::descriptor;
use wgpu_batchnorm::{
    BatchNorm, DescriptorError, DeviceError, Path, PlanRequest, PrepareError, ReadError, Shape, Training,
    wgpu,
};

use crate::rig::{HANDLERS, Rig};

/// Runs one of the tests that are ignored, in another process.
#[track_caller]
fn in_a_process(test: &str) {
    if Rig::new(HANDLERS[0]).gpu.device.adapter_info().device_type != wgpu::DeviceType::Cpu {
        eprintln!("SKIPPED: {test}: the memory of a GPU cannot be limited");
        return;
    }
    // Mesa 25's software driver answers with memory that is not there.
    if !passes("a_driver_knows").0 {
        eprintln!("SKIPPED: {test}: this driver does not tell where it has no memory for a buffer");
        return;
    }
    let (passed, said) = passes(test);
    assert!(passed, "{said}");
}

/// Whether it passes, and what it says.
fn passes(test: &str) -> (bool, String) {
    let itself = std::env::current_exe().unwrap();
    let name = format!("memory::of_its_own::{test}");
    let output = Command::new(itself).args([&name, "--exact", "--ignored", "--nocapture"]).output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    (output.status.success() && said.contains("1 passed"), said)
}

#[test]
fn a_layer_is_not_made() {
    in_a_process("a_layer_is_not_made");
}

#[test]
fn a_step_is_not_prepared() {
    in_a_process("a_step_is_not_prepared");
}

#[test]
fn the_state_is_not_read() {
    in_a_process("the_state_is_not_read");
}

/// Does something while the process may take so many MiB more.
fn with_room<T>(mebibytes: u64, work: impl FnOnce() -> T) -> T {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap();
    let (before, most) = Resource::AS.get().unwrap();
    Resource::AS.set(pages * 4096 + (mebibytes << 20), most).unwrap();
    let done = work();
    Resource::AS.set(before, most).unwrap();
    done
}

mod of_its_own {
    use super::*;

    /// Without anything of this crate.
    #[test]
    #[ignore = "in a process of its own"]
    fn a_driver_knows() {
        let gpu = Rig::new(HANDLERS[0]).gpu;
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        with_room(32, || {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 64 << 20,
                usage: wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: true,
            })
        });
        assert!(pollster::block_on(scope.pop()).is_some());
    }

    /// Six vectors of 16 MiB, which the host has first.
    #[test]
    #[ignore = "in a process of its own"]
    fn a_layer_is_not_made() {
        for handler in HANDLERS {
            let rig = Rig::new(handler);
            let features = 4 << 20;
            let made = with_room(300, || BatchNorm::new(rig.norm.context(), &descriptor(features)));
            assert_eq!(made.unwrap_err(), DescriptorError::Device(DeviceError::OutOfMemory));
            rig.assert_usable();
            BatchNorm::new(rig.norm.context(), &descriptor(features)).unwrap();
        }
    }

    /// Scratch of 50 MiB.
    #[test]
    #[ignore = "in a process of its own"]
    fn a_step_is_not_prepared() {
        for handler in HANDLERS {
            let rig = Rig::new(handler);
            let shape = Shape::rows(400_000, 8);
            let large = rig.gpu.empty(shape.elements() as usize);
            let prepare = |splits| {
                let large = large.as_entire_buffer_binding();
                let plan = PlanRequest::new().path(Path::Split).splits(splits).workgroup(8);
                rig.norm.prepare_training(shape, Training::new(large.clone(), large).plan(plan))
            };
            // Pipelines are there already: a compiler without memory ends the process.
            prepare(2).unwrap();
            let step = with_room(32, || prepare(50_000));
            assert_eq!(step.unwrap_err(), PrepareError::Device(DeviceError::OutOfMemory));
            rig.assert_usable();
            prepare(50_000).unwrap();
        }
    }

    #[test]
    #[ignore = "in a process of its own"]
    fn the_state_is_not_read() {
        for handler in HANDLERS {
            let rig = Rig::new(handler);
            let large = BatchNorm::new(rig.norm.context(), &descriptor(4 << 20)).unwrap();
            let read = || pollster::block_on(large.read_state(&rig.gpu.queue));
            assert_eq!(with_room(32, read), Err(ReadError::Device(DeviceError::OutOfMemory)));
            rig.assert_usable();
            assert_eq!(read().unwrap().running_var, vec![1.0; 4 << 20]);
        }
    }
}
