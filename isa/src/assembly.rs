//! Loads in flight, read from AMD's assembly.

use std::collections::HashMap;

/// What an instruction is to a walk that counts loads.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Instruction<'a> {
    /// A load of so many bytes.
    Load(u32),
    Store,
    /// Waits until no more than this many loads are on their way.
    Wait(usize),
    Branch(&'a str),
    Other,
}

/// A compute shader's assembly.
pub struct Assembly<'a> {
    instructions: Vec<Instruction<'a>>,
    /// The instruction that follows each label.
    labels: HashMap<&'a str, usize>,
    /// Before RDNA, a store is waited for as a load is.
    waits_for_stores: bool,
}

impl<'a> Assembly<'a> {
    pub fn parse(text: &'a str, waits_for_stores: bool) -> Self {
        let mut all = Self { instructions: Vec::new(), labels: HashMap::new(), waits_for_stores };
        for line in text.lines() {
            match line.split_once(':') {
                Some((label, _)) if label.starts_with("BB") => {
                    all.labels.insert(label, all.instructions.len());
                }
                _ => {
                    let code = line.split(';').next().unwrap_or_default().trim();
                    all.instructions.extend((!code.is_empty()).then(|| instruction(code)));
                }
            }
        }
        all
    }

    /// The most loads of at least so many bytes that are on their way at once, in one walk through the code.
    pub fn in_flight(&self, bytes: u32) -> usize {
        self.most_in(0..self.instructions.len(), bytes)
    }

    /// The same in each innermost loop that has such a load: those that walk a tensor.
    pub fn in_flight_in_loops(&self, bytes: u32) -> Vec<usize> {
        let loops = self.loops();
        let inner = |&(begin, end): &(usize, usize)| {
            !loops.iter().any(|&(b, e)| begin <= b && e <= end && (b, e) != (begin, end))
        };
        let all = loops.iter().filter(|l| inner(l)).map(|&(begin, end)| self.most_in(begin..end + 1, bytes));
        all.filter(|&most| most > 0).collect()
    }

    /// Loads of exactly so many bytes.
    pub fn loads_of(&self, bytes: u32) -> usize {
        self.instructions.iter().filter(|&&i| i == Instruction::Load(bytes)).count()
    }

    /// Branches backwards: from where to where.
    fn loops(&self) -> Vec<(usize, usize)> {
        let back = |(at, instruction): (usize, &Instruction)| match instruction {
            Instruction::Branch(label) => self.labels.get(label).filter(|&&to| to <= at).map(|&to| (to, at)),
            _ => None,
        };
        self.instructions.iter().enumerate().filter_map(back).collect()
    }

    fn most_in(&self, range: std::ops::Range<usize>, bytes: u32) -> usize {
        let mut underway: Vec<u32> = Vec::new();
        let mut most = 0;
        for instruction in &self.instructions[range] {
            match *instruction {
                Instruction::Load(loaded) => underway.push(loaded),
                Instruction::Store if self.waits_for_stores => underway.push(0),
                Instruction::Wait(left) => {
                    underway.drain(..underway.len().saturating_sub(left));
                }
                _ => {}
            }
            most = most.max(underway.iter().filter(|&&loaded| loaded >= bytes).count());
        }
        most
    }
}

fn instruction(code: &str) -> Instruction<'_> {
    let (name, operands) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
    let access =
        |kind| ["buffer_", "global_"].iter().find_map(|of| name.strip_prefix(of)?.strip_prefix(kind));
    if let Some(width) = access("load_") {
        return Instruction::Load(bytes_of(width));
    }
    if access("store_").is_some() {
        return Instruction::Store;
    }
    if name == "s_waitcnt" {
        let left = operands.split_once("vmcnt(").and_then(|(_, rest)| rest.split_once(')'));
        return left.and_then(|(left, _)| left.parse().ok()).map_or(Instruction::Other, Instruction::Wait);
    }
    match name.starts_with("s_cbranch") || name == "s_branch" {
        true => Instruction::Branch(operands.split_whitespace().last().unwrap_or_default()),
        false => Instruction::Other,
    }
}

/// Bytes of a load: `dwordx4` and `b128` are 16.
fn bytes_of(width: &str) -> u32 {
    match width.split_whitespace().next().unwrap_or_default() {
        "dwordx4" | "b128" => 16,
        "dwordx3" | "b96" => 12,
        "dwordx2" | "b64" => 8,
        "dword" | "b32" => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "\
BB0:
    s_load_dwordx4 s[0:3], s[0:1], 0x0    ; c00a0000
    buffer_load_dwordx4 v[0:3], v4, s[0:3], 0 offen
    s_waitcnt vmcnt(0)
BB1:
    buffer_load_b128 v[0:3], v4, s[0:3], 0 offen
    buffer_load_b128 v[8:11], v5, s[0:3], 0 offen
    s_waitcnt vmcnt(1) lgkmcnt(0)
    buffer_load_b128 v[8:11], v5, s[0:3], 0 offen
    buffer_load_b32 v6, v5, s[0:3], 0 offen
    s_waitcnt vmcnt(0)
    buffer_store_b128 v[0:3], v4, s[0:3], 0 offen
    s_cbranch_scc0 BB1
    s_endpgm";

    #[test]
    fn loads_are_counted_until_they_are_waited_for() {
        let assembly = Assembly::parse(CODE, false);
        assert_eq!(assembly.in_flight(16), 2);
        assert_eq!(assembly.in_flight(4), 3);
        assert_eq!(assembly.in_flight_in_loops(16), [2]);
        assert_eq!((assembly.loads_of(16), assembly.loads_of(4)), (4, 1));
    }

    #[test]
    fn a_load_that_waits_at_once_is_alone() {
        let code = "BB0:\n buffer_load_dword v0, v1, s[0:3], 0\n s_waitcnt vmcnt(0)\n s_branch BB0";
        assert_eq!(Assembly::parse(code, true).in_flight_in_loops(4), [1]);
    }

    #[test]
    fn stores_take_a_place_where_they_are_waited_for() {
        let code = "buffer_load_dword v0\n buffer_store_dword v0\n s_waitcnt vmcnt(1)\n buffer_load_dword v0";
        assert_eq!(Assembly::parse(code, true).in_flight(4), 1);
        assert_eq!(Assembly::parse(code, false).in_flight(4), 2);
    }
}
