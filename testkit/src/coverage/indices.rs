//! Prepared dispatches run with every index into a buffer or into workgroup memory counted that is out of range. Software
//! adapters drop what is written outside of a binding and read zeros there, so that nothing else tells. So are races in
//! workgroup memory ([`races`]).

use std::collections::HashMap;

use wgpu_batchnorm::{DispatchDescription, wgpu};

use super::races;
use crate::gpu::{download, gpu, part, whole};
use crate::kernel;
use crate::shader::closing_bracket;

/// The counter of each variable stands behind the shader's own bind groups.
const GROUP: u32 = 2;

/// Runs dispatches, and remembers the pipelines.
#[derive(Default)]
pub struct Inspector {
    pipelines: HashMap<String, wgpu::ComputePipeline>,
}

/// A word of WGSL, as far as a name may stand in the middle of one.
fn part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

/// The text with `name[index]` replaced by `name[inside(index, length, number)]`.
fn counted(text: &str, name: &str, length: &str, number: usize) -> String {
    let (open, mut out, mut rest) = (format!("{name}["), String::new(), text);
    while let Some(at) = rest.find(&open) {
        let begin = at + open.len();
        out += &rest[..begin];
        let whole_word = !rest[..at].ends_with(part_of_word);
        rest = &rest[begin..];
        if whole_word {
            let end = closing_bracket(rest);
            out += &format!("inside({}, {length}, {number}u)", &rest[..end]);
            rest = &rest[end..];
        }
    }
    out + rest
}

/// Names of the variables in storage.
fn storage(source: &str) -> Vec<&str> {
    let name = |line: &'_ str| line.find("var<storage").map(|at| at + line[at..].find("> ").unwrap() + 2);
    source.lines().filter_map(|line| name(line).map(|at| line[at..].split(':').next().unwrap())).collect()
}

/// The shader with its indices counted, and the names of what is indexed; at last races, where there may be any.
pub fn instrumented(source: &str) -> (String, Vec<String>) {
    let mut names: Vec<String> = storage(source).into_iter().map(str::to_owned).collect();
    names.push("shared_items".to_owned());
    let indexed = names.clone();
    let line = |line: &str| {
        if line.starts_with('@') || line.trim_start().starts_with("//") || line.starts_with("var<") {
            return line.to_owned();
        }
        indexed.iter().enumerate().fold(line.to_owned(), |line, (number, name)| {
            // Locals have the names of tensors elsewhere; only loads and stores index these.
            let tensor = ["x", "y", "z", "dy", "dx", "dz"].contains(&name.as_str());
            if tensor && !(line.starts_with("fn load_") || line.starts_with("fn store_")) {
                return line;
            }
            let length = match name.as_str() {
                "shared_items" => "SHARED".to_owned(),
                name => format!("arrayLength(&{name})"),
            };
            counted(&line, name, &length, number)
        })
    };
    let text = source.lines().map(line).collect::<Vec<_>>().join("\n");
    let text = if source.contains("shared_items[") { races::watched(&text, &mut names) } else { text };
    let counter = format!(
        "@group({GROUP}) @binding(0) var<storage, read_write> outside: array<atomic<u32>>;\n\
         fn inside(index: u32, length: u32, number: u32) -> u32 {{\n\
         if index >= length {{ atomicAdd(&outside[number], 1u); }}\n\
         atomicAdd(&outside[number + {}u], 1u);\n\
         return min(index, length - 1u);\n}}\n",
        names.len()
    );
    (text + "\n" + &counter, names)
}

impl Inspector {
    /// Runs the dispatches one after the other. Panics where an index is out of range, or where nothing is indexed.
    #[track_caller]
    pub fn check(&mut self, what: &str, dispatches: &[DispatchDescription]) {
        for dispatch in dispatches {
            let (source, names) = instrumented(&dispatch.source);
            let counts = self.run(dispatch, &source, names.len());
            let outside: Vec<_> = names.iter().zip(&counts).filter(|(_, count)| **count > 0).collect();
            assert!(outside.is_empty(), "{what}: {}: indices out of range: {outside:?}", dispatch.label);
            let looked = counts[names.len()..].iter().any(|&count| count > 0);
            assert!(looked, "{what}: {}: no index was counted", dispatch.label);
        }
    }

    /// Indices out of range of each variable, then all indices of each.
    fn run(&mut self, dispatch: &DispatchDescription, source: &str, names: usize) -> Vec<u32> {
        let gpu = gpu();
        let DispatchDescription { label, entry, constants, workgroups, bindings, .. } = dispatch;
        let pipeline = self.pipelines.entry(format!("{label} {constants:?}")).or_insert_with(|| {
            kernel::pipeline(&gpu.device, &kernel::module(&gpu.device, label, source), entry, constants)
        });
        let counter = gpu.empty(2 * names);
        let uniforms: Vec<_> = bindings.iter().map(|bound| uniform(&bound.uniform)).collect();
        let mut groups = vec![Vec::new(), Vec::new()];
        for (bound, uniform) in bindings.iter().zip(&uniforms) {
            let binding = match uniform {
                Some(uniform) => whole(uniform),
                None => part(&bound.buffer, bound.offset, bound.size),
            };
            let group: &mut Vec<(u32, wgpu::BufferBinding<'_>)> = &mut groups[bound.group as usize];
            // What is saved in a buffer of the caller's is listed twice.
            if group.iter().all(|(number, _)| *number != bound.binding) {
                group.push((bound.binding, binding));
            }
        }
        groups.push(vec![(0, whole(&counter))]);
        let group = |(index, entries): (usize, Vec<(u32, wgpu::BufferBinding<'_>)>)| {
            let entry = |(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(buffer),
            };
            let entries: Vec<_> = entries.into_iter().map(entry).collect();
            let layout = &pipeline.get_bind_group_layout(index as u32);
            let descriptor = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
            gpu.device.create_bind_group(&descriptor)
        };
        let filled = groups.into_iter().enumerate().filter(|(_, entries)| !entries.is_empty());
        let groups: Vec<_> = filled.map(|(index, entries)| (index, group((index, entries)))).collect();
        gpu.run(|pass| {
            pass.set_pipeline(pipeline);
            for (index, group) in &groups {
                pass.set_bind_group(*index as u32, group, &[]);
            }
            pass.dispatch_workgroups(workgroups[0], workgroups[1], workgroups[2]);
        })
        .unwrap();
        download(&gpu.device, &gpu.queue, whole(&counter))
    }
}

fn uniform(contents: &[u8]) -> Option<wgpu::Buffer> {
    let gpu = gpu();
    (!contents.is_empty()).then(|| {
        let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: contents.len().next_multiple_of(16) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        gpu.queue.write_buffer(&buffer, 0, contents);
        buffer
    })
}
