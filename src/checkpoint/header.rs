//! The header of a safetensors file, read so that an error tells which tensor is wrong, and nothing in it can panic.

use std::collections::BTreeMap;

use safetensors::tensor::TensorInfo;
use serde_json::value::RawValue;

use super::LoadError;

/// Bytes of the header's length, at the start of the file.
const LENGTH: usize = 8;

/// The tensors of a file, all of which lie in its data, and the data.
pub(super) fn parse(bytes: &[u8]) -> Result<(BTreeMap<String, TensorInfo>, &[u8]), LoadError> {
    let (header, data) = split(bytes)?;
    let invalid = |error: serde_json::Error| LoadError::Header(error.to_string());
    let entries: BTreeMap<String, &RawValue> = serde_json::from_slice(header).map_err(invalid)?;
    let mut tensors = BTreeMap::new();
    for (tensor, entry) in entries.into_iter().filter(|(name, _)| name != "__metadata__") {
        match serde_json::from_str::<TensorInfo>(entry.get()) {
            Ok(info) => tensors.insert(tensor, info),
            Err(error) => return Err(LoadError::Damaged { tensor, reason: error.to_string() }),
        };
    }
    check(&tensors, data.len())?;
    Ok((tensors, data))
}

/// The header's JSON and what follows it.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), LoadError> {
    let given = bytes.len() as u64;
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else {
        return Err(LoadError::HeaderLength { required: LENGTH as u64, given });
    };
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    header.ok_or(LoadError::HeaderLength { required: length.saturating_add(LENGTH as u64), given })
}

/// The ranges of the tensors must follow each other from the first byte of the data to the last.
fn check(tensors: &BTreeMap<String, TensorInfo>, data: usize) -> Result<(), LoadError> {
    let mut order: Vec<_> = tensors.iter().collect();
    order.sort_by_key(|(_, info)| info.data_offsets);
    let mut next = 0;
    for (tensor, info) in order {
        let (start, end) = info.data_offsets;
        let damaged = |reason| Err(LoadError::Damaged { tensor: tensor.clone(), reason });
        if start != next || end < start {
            return damaged(format!("it lies at {start}..{end}, the tensor before it ends at {next}"));
        }
        if end > data {
            return damaged(format!("it ends at byte {end} of the data, which has {data}"));
        }
        let elements = info.shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        let bits = elements.and_then(|elements| elements.checked_mul(info.dtype.bitsize()));
        if bits.is_none_or(|bits| bits % 8 != 0 || bits / 8 != end - start) {
            let (dtype, shape, given) = (info.dtype, &info.shape, end - start);
            return damaged(format!("it has {given} bytes for {dtype} of shape {shape:?}"));
        }
        next = end;
    }
    if next != data {
        return Err(LoadError::Surplus { required: next as u64, given: data as u64 });
    }
    Ok(())
}
