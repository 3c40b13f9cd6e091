//! Files that are nearly checkpoints: whatever is wrong with one, nothing panics, and no layer changes.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use testkit::gpu::gpu;
use testkit::layer::{descriptor, layer, read_state};
use testkit::random::state;
use wgpu_batchnorm::checkpoint::{Checkpoint, LoadError, encode};
use wgpu_batchnorm::{BatchNorm, Names, State};

/// A change of the file's bytes.
#[derive(Clone, Debug)]
enum Edit {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Truncate(Index),
    HeaderLength(u64),
}

/// A change of an entry of the header, or of the header's entries.
#[derive(Clone, Debug)]
enum Lie {
    Dtype(Index, &'static str),
    Shape(Index, Vec<u64>),
    Offset(Index, usize, u64),
    /// By so much, either way.
    Moved(Index, usize, i64),
    SwapRanges(Index, Index),
    Rename(Index, Index),
    Drop(Index),
    Entry(Index, Value),
    Values(Index, Vec<u8>),
}

const DTYPES: [&str; 9] = ["F32", "F16", "BF16", "F64", "I64", "I32", "U8", "F4", "C64"];

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..40u64, Just(u64::MAX), any::<u64>(), (0..64u32).prop_map(|bit| 1 << bit)]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (any::<Index>(), 1..=255u8).prop_map(|(at, bits)| Edit::Flip(at, bits)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => (any::<Index>(), 1..20usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => any::<Index>().prop_map(Edit::Truncate),
        1 => number().prop_map(Edit::HeaderLength),
    ]
}

fn garbage() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from))
}

fn lie() -> impl Strategy<Value = Lie> {
    let index = any::<Index>;
    prop_oneof![
        (index(), prop::sample::select(&DTYPES[..])).prop_map(|(at, dtype)| Lie::Dtype(at, dtype)),
        (index(), prop::collection::vec(number(), 0..4)).prop_map(|(at, shape)| Lie::Shape(at, shape)),
        (index(), 0..2usize, number()).prop_map(|(at, end, to)| Lie::Offset(at, end, to)),
        (index(), 0..2usize, -16..16i64).prop_map(|(at, end, by)| Lie::Moved(at, end, by)),
        (index(), index()).prop_map(|(a, b)| Lie::SwapRanges(a, b)),
        (index(), index()).prop_map(|(a, b)| Lie::Rename(a, b)),
        index().prop_map(Lie::Drop),
        (index(), garbage()).prop_map(|(at, value)| Lie::Entry(at, value)),
        (index(), prop::collection::vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Lie::Values(at, bytes)),
    ]
}

fn edited(mut file: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let at = |index: &Index| index.index(file.len().max(1)).min(file.len());
        match edit {
            Edit::HeaderLength(length) => {
                let bytes = length.to_le_bytes();
                let count = bytes.len().min(file.len());
                file[..count].copy_from_slice(&bytes[..count]);
            }
            Edit::Flip(index, bits) => {
                let at = at(index);
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= bits;
                }
            }
            Edit::Insert(index, bytes) => {
                let at = at(index);
                file.splice(at..at, bytes.iter().copied());
            }
            Edit::Remove(index, count) => {
                let at = at(index);
                file.drain(at..(at + count).min(file.len()));
            }
            Edit::Truncate(index) => file.truncate(at(index)),
        }
    }
    file
}

/// The file with a header that lies.
fn lied(file: &[u8], lies: &[Lie]) -> Vec<u8> {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let (header, data) = file[8..].split_at(length);
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header).unwrap();
    let (mut entries, mut data) = (header.into_iter().collect::<Vec<_>>(), data.to_vec());
    for lie in lies {
        tell(&mut entries, &mut data, lie);
    }
    // By hand: a map would not hold the same name twice.
    let members: Vec<String> =
        entries.iter().map(|(name, entry)| format!("{}:{entry}", json!(name))).collect();
    let header = format!("{{{}}}", members.join(","));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

fn tell(entries: &mut Vec<(String, Value)>, data: &mut [u8], lie: &Lie) {
    if entries.is_empty() {
        return;
    }
    let len = entries.len();
    match lie {
        Lie::Dtype(at, dtype) => set(&mut entries[at.index(len)].1, "dtype", json!(dtype)),
        Lie::Shape(at, shape) => set(&mut entries[at.index(len)].1, "shape", json!(shape)),
        Lie::Offset(at, end, to) => {
            if let Some(offset) = entries[at.index(len)].1.pointer_mut(&format!("/data_offsets/{end}")) {
                *offset = json!(to);
            }
        }
        Lie::Moved(at, end, by) => {
            if let Some(offset) = entries[at.index(len)].1.pointer_mut(&format!("/data_offsets/{end}")) {
                *offset = json!(offset.as_u64().unwrap_or(0).wrapping_add_signed(*by));
            }
        }
        Lie::SwapRanges(a, b) => {
            let [a, b] = [a, b].map(|at| at.index(len));
            let range = |entry: &Value| entry.get("data_offsets").cloned().unwrap_or_default();
            let ranges = (range(&entries[a].1), range(&entries[b].1));
            set(&mut entries[a].1, "data_offsets", ranges.1);
            set(&mut entries[b].1, "data_offsets", ranges.0);
        }
        Lie::Rename(a, b) => entries[a.index(len)].0 = entries[b.index(len)].0.clone(),
        Lie::Drop(at) => drop(entries.remove(at.index(len))),
        Lie::Entry(at, value) => entries[at.index(len)].1 = value.clone(),
        Lie::Values(at, bytes) => {
            let at = at.index(data.len());
            let count = bytes.len().min(data.len() - at);
            data[at..at + count].copy_from_slice(&bytes[..count]);
        }
    }
}

fn set(entry: &mut Value, key: &str, value: Value) {
    if let Value::Object(entry) = entry {
        entry.insert(key.into(), value);
    }
}

const PREFIXES: [&str; 2] = ["a", "b.c"];

/// A good file of two layers.
fn file() -> Vec<u8> {
    let states = [(3, 1), (5, 2)].map(|(features, seed)| state(features, seed));
    let pairs: Vec<_> = PREFIXES.into_iter().zip(&states).collect();
    encode(&Names::PYTORCH, &pairs, &[]).unwrap()
}

fn load(file: &[u8], norms: &[BatchNorm; 2]) -> Result<(), LoadError> {
    let layers: Vec<_> = PREFIXES.into_iter().zip(norms).collect();
    Checkpoint::open(file)?.load(&gpu().queue, &Names::PYTORCH, &layers)
}

/// Loads the file. Where it is refused, the layers stay as they were; where it is not, they have what it says.
fn try_to_load(file: &[u8]) -> Result<(), TestCaseError> {
    let before = [state(3, 11), state(5, 12)];
    let norms = before.each_ref().map(|state| layer(&descriptor(state.weight.len() as u32), state));
    let expected = match load(file, &norms) {
        Err(error) => {
            prop_assert!(!error.to_string().is_empty());
            before
        }
        Ok(()) => {
            let checkpoint = Checkpoint::open(file).unwrap();
            PREFIXES.map(|prefix| checkpoint.state(&Names::PYTORCH, prefix).unwrap())
        }
    };
    for (norm, expected) in norms.iter().zip(expected) {
        prop_assert_eq!(bits(&read_state(norm)), bits(&expected));
    }
    Ok(())
}

/// So that a NaN equals itself. The device counts to 2³² − 1.
fn bits(state: &State) -> Vec<u64> {
    let vectors = [&state.weight, &state.bias, &state.running_mean, &state.running_var];
    let values = vectors.into_iter().flatten().map(|value| value.to_bits().into());
    values.chain([state.num_batches_tracked.min(u32::MAX.into())]).collect()
}

#[test]
fn the_file_itself_is_good() {
    let norms = [3, 5].map(|features| layer(&descriptor(features), &state(features, 13)));
    load(&file(), &norms).unwrap();
    assert_eq!(norms.each_ref().map(read_state), [state(3, 1), state(5, 2)]);
    assert_eq!(lied(&file(), &[]).len(), file().len() - padding(&file()));
    try_to_load(&lied(&file(), &[])).unwrap();
}

/// Spaces at the end of the header.
fn padding(file: &[u8]) -> usize {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    file[8..8 + length].iter().rev().take_while(|byte| **byte == b' ').count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn changed_bytes(edits in prop::collection::vec(edit(), 1..4)) {
        try_to_load(&edited(file(), &edits))?;
    }

    #[test]
    fn lying_headers(lies in prop::collection::vec(lie(), 1..4)) {
        try_to_load(&lied(&file(), &lies))?;
    }

    #[test]
    fn lying_headers_with_changed_bytes(lies in prop::collection::vec(lie(), 1..3), edits in prop::collection::vec(edit(), 1..3)) {
        try_to_load(&edited(lied(&file(), &lies), &edits))?;
    }

    #[test]
    fn no_file_at_all(bytes in prop::collection::vec(any::<u8>(), 0..64), header in garbage()) {
        try_to_load(&bytes)?;
        let header = header.to_string();
        try_to_load(&[&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat())?;
    }
}
