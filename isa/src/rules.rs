//! What must hold of every shader on a GPU.

use anyhow::{Context, Result};

use crate::assembly::Assembly;
use crate::compiler::Compiled;
use crate::variant::{Variant, Way};

/// Loads on their way in a loop that reduces one tensor, or two; and in one that makes one of them, or of two.
const REDUCES: [usize; 2] = [4, 6];
const APPLIES: [usize; 2] = [4, 8];
/// A shift begins with the first values of a packet alone, half a load in 16-bit storage.
const NARROW: usize = 1;
/// Registers of a multiprocessor.
const REGISTERS: u64 = 1 << 16;

/// What the compiler and its assembly say.
pub struct Facts {
    pub registers: u64,
    pub waves: u64,
    pub scratch: u64,
    pub spills: u64,
    /// In each innermost loop that loads as many bytes as a packet has, and in all.
    in_loops: Vec<usize>,
    in_all: usize,
    /// Loads narrower than a packet.
    narrow: usize,
}

impl Facts {
    pub fn of(variant: &Variant, compiled: &Compiled, gpu: &str) -> Result<Self> {
        // Before RDNA, stores are waited for like loads.
        let assembly = Assembly::parse(&compiled.assembly, gpu.contains("VEGA"));
        let statistic = |name: &str| {
            compiled.statistic(name).with_context(|| format!("no {name} among {:?}", compiled.statistics))
        };
        Ok(Self {
            registers: statistic("VGPRs")?,
            waves: statistic("Subgroups per SIMD")?,
            scratch: statistic("Scratch size")?,
            spills: statistic("Spilled SGPRs")? + statistic("Spilled VGPRs")?,
            in_loops: assembly.in_flight_in_loops(variant.load),
            in_all: assembly.in_flight(variant.load),
            narrow: if variant.load == 16 { assembly.loads_of(8) + assembly.loads_of(12) } else { 0 },
        })
    }

    /// The most in each loop, or in all where it holds values.
    pub fn in_flight_text(&self) -> String {
        match self.in_loops.as_slice() {
            [] => self.in_all.to_string(),
            loops => loops.iter().map(usize::to_string).collect::<Vec<_>>().join(" "),
        }
    }

    /// Why it is not judged.
    pub fn excuse(&self, gpu: &str) -> Option<&'static str> {
        let limited = gpu.contains("GFX1100") && gpu.contains("Mesa 22.") && self.registers == 132;
        limited.then_some(
            "not judged: for this GPU, this Mesa gives 132 registers at most, and the next one 256",
        )
    }

    /// The rules that it breaks, in words.
    pub fn faults(&self, variant: &Variant) -> Vec<String> {
        let mut faults = Vec::new();
        if self.scratch > 0 || self.spills > 0 {
            faults.push(format!("{} bytes of scratch, {} spills; required none", self.scratch, self.spills));
        }
        if u64::from(variant.workgroup) * self.registers > REGISTERS {
            faults.push(format!(
                "{} registers; required at most {}",
                self.registers,
                REGISTERS / u64::from(variant.workgroup)
            ));
        }
        if self.narrow > NARROW {
            faults.push(format!("{} loads of 8 or 12 bytes; required 16", self.narrow));
        }
        let required = required(variant);
        let given = match variant.way {
            Way::Holds(_) => self.in_all,
            _ => self.in_loops.iter().copied().max().unwrap_or(0),
        };
        if given < required {
            faults.push(format!("{given} loads in flight; required {required}"));
        }
        faults
    }
}

/// What the loop that reads the most must have on its way. A mask's words are waited for between the tensor's.
fn required(variant: &Variant) -> usize {
    let of = |loads: [usize; 2]| loads[variant.tensors - 1] * if variant.masked { 3 } else { 4 } / 4;
    match variant.way {
        Way::Vectors => 0,
        Way::Reduces | Way::Both => of(REDUCES),
        Way::Applies => of(APPLIES),
        Way::Holds(held) => variant.tensors * held as usize,
    }
}
