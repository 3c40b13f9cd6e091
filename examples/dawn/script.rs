//! A folder that any WebGPU can work off, whatever the layer is like: dispatches as data, and what they must leave.
//!
//! `script.json` lists cases, `data.bin` has the bytes they refer to by offset (little-endian, 8 bytes aligned), and
//! `shaders/` the WGSL. scripts/dawn/run.mjs reads it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use serde::Serialize;
use testkit::elsewhere::Dispatch;

/// Buffers, dispatches in order (their shaders are paths in the folder), and what must be in the buffers after them.
#[derive(Serialize, Default)]
pub struct Case {
    pub name: String,
    pub buffers: Vec<Buffer>,
    pub dispatches: Vec<Dispatch>,
    pub expectations: Vec<Expectation>,
}

/// A buffer of so many bytes, which begin at `data` of data.bin, or are zero.
#[derive(Serialize)]
pub struct Buffer {
    pub size: u64,
    pub data: Option<u64>,
}

/// Values that a buffer must have from some byte on.
#[derive(Serialize)]
pub struct Expectation {
    pub what: &'static str,
    /// Which of the case's buffers.
    pub buffer: usize,
    pub offset: u64,
    pub count: usize,
    /// Where the values begin in data.bin.
    pub data: u64,
    /// Nothing where the values are u32, to be met exactly. Else they are float64 for what the buffer stores.
    pub measure: Option<Measure>,
}

/// |got - want| / scale may be up to the tolerance, where half a unit in the last place of a 16-bit value is taken off the
/// difference. There is a scale for each value, or one for all.
#[derive(Serialize)]
pub struct Measure {
    /// `float32`, `float16` or `bfloat16`.
    pub storage: String,
    pub scales: Vec<f64>,
    pub tolerance: f64,
}

/// All cases, and the bytes and shaders they share.
#[derive(Default)]
pub struct Script {
    cases: Vec<Case>,
    data: Vec<u8>,
    offsets: HashMap<Vec<u8>, u64>,
    shaders: BTreeMap<String, String>,
}

impl Script {
    pub fn add(&mut self, case: Case) {
        self.cases.push(case);
    }

    /// Where bytes like these are in data.bin; most tensors are part of many cases.
    pub fn data(&mut self, bytes: &[u8]) -> u64 {
        if let Some(offset) = self.offsets.get(bytes) {
            return *offset;
        }
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let offset = self.data.len() as u64;
        self.data.extend_from_slice(bytes);
        self.offsets.insert(bytes.to_vec(), offset);
        offset
    }

    /// The path of a shader in the folder.
    pub fn shader(&mut self, label: &str, source: String) -> String {
        let path = format!("shaders/{label}.wgsl");
        let known = self.shaders.entry(path.clone()).or_insert_with(|| source.clone());
        assert!(*known == source, "two shaders are named {label}");
        path
    }

    /// Whether a case runs this shader.
    pub fn runs(&self, label: &str) -> bool {
        self.shaders.contains_key(&format!("shaders/{label}.wgsl"))
    }

    /// Whether each choice that makes up this shader is in one that is run, of the same kernel.
    pub fn runs_like(&self, label: &str) -> bool {
        let (kernel, choices) = kernel_and_choices(label);
        let names = self.shaders.keys().map(|path| &path["shaders/".len()..path.len() - ".wgsl".len()]);
        let run: Vec<_> = names.map(kernel_and_choices).filter(|(other, _)| *other == kernel).collect();
        choices.iter().all(|choice| run.iter().any(|(_, others)| others.contains(choice)))
    }

    pub fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder.join("shaders"))?;
        for (path, source) in &self.shaders {
            std::fs::write(folder.join(path), source)?;
        }
        std::fs::write(folder.join("data.bin"), &self.data)?;
        std::fs::write(folder.join("script.json"), serde_json::to_string(&self.cases)?)
    }
}

impl std::fmt::Display for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cases, shaders, bytes) = (self.cases.len(), self.shaders.len(), self.data.len());
        write!(f, "{cases} cases of {shaders} shaders, {:.1} MB of data", bytes as f64 / 1e6)
    }
}

/// The kernel of a shader's name, and what else it says: view, packet, storage and so on.
fn kernel_and_choices(label: &str) -> (&str, Vec<String>) {
    let begin = ["_planes", "_rows", "_x1", "_x4"].iter().filter_map(|part| label.find(part)).min();
    let (kernel, rest) = label.split_at(begin.unwrap_or(label.len()));
    let words = ["held_", "f16_halves", "same_buffer", "in_place"];
    let rest = words.iter().fold(rest.to_owned(), |rest, word| rest.replace(word, &word.replace('_', "-")));
    (kernel, rest.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect())
}
