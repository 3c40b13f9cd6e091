//! Files that are nearly checkpoints: each is an error that names what is wrong.

use std::collections::BTreeMap;

use safetensors::Dtype;
use wgpu_batchnorm::checkpoint::{Checkpoint, LoadError};
use wgpu_batchnorm::{Names, TensorError};

use super::{Stored, count, f32s, file, layer};

/// A file with this header.
fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[track_caller]
fn error_of(tensors: &BTreeMap<String, Stored>) -> LoadError {
    Checkpoint::open(&file(tensors)).unwrap().state(&Names::PYTORCH, "bn").unwrap_err()
}

#[test]
fn tensors_that_are_wrong() {
    let with = |name: &str, tensor: Stored| {
        let mut tensors = layer("bn.");
        tensors.insert(format!("bn.{name}"), tensor);
        error_of(&tensors)
    };
    let without = |name: &str| {
        let mut tensors = layer("bn.");
        tensors.remove(&format!("bn.{name}"));
        error_of(&tensors)
    };
    let name = |name: &str| format!("bn.{name}");
    assert_eq!(without("running_mean"), TensorError::Missing { tensor: name("running_mean") }.into());
    assert_eq!(without("running_var"), TensorError::Missing { tensor: name("running_var") }.into());
    assert_eq!(error_of(&layer("other.")), TensorError::Missing { tensor: name("weight") }.into());
    assert_eq!(
        with("bias", f32s(&[1.0])),
        TensorError::Length { tensor: name("bias"), required: 3, given: 1 }.into()
    );
    let (dtype, _, data) = f32s(&[1.0; 3]);
    for shape in [vec![3, 1], vec![1, 3], vec![1, 3, 1, 1]] {
        assert_eq!(
            with("weight", (dtype, shape.clone(), data.clone())),
            LoadError::Shape { tensor: name("weight"), required: vec![3], given: shape }
        );
    }
    assert_eq!(
        with("weight", (Dtype::F32, vec![], vec![0; 4])),
        LoadError::Shape { tensor: name("weight"), required: vec![1], given: vec![] }
    );
    assert_eq!(
        with("weight", f32s(&[])),
        TensorError::Length { tensor: name("weight"), required: 1, given: 0 }.into()
    );
    assert_eq!(
        with("running_var", f32s(&[0.0, -1e-9, 1.0])),
        TensorError::Variance { tensor: name("running_var"), index: 1, given: f64::from(-1e-9f32) }.into()
    );
    assert!(matches!(
        with("running_var", f32s(&[0.0, 1.0, f32::NAN])),
        LoadError::Tensor(TensorError::Variance { index: 2, .. })
    ));
    assert_eq!(
        with("bias", (Dtype::I32, vec![3], vec![0; 12])),
        LoadError::Dtype { tensor: name("bias"), required: "F32, F16, BF16 or F64", given: Dtype::I32 }
    );
    let huge = [1.0, 1e39, 0.0].iter().flat_map(|value: &f64| value.to_le_bytes()).collect();
    assert_eq!(
        with("bias", (Dtype::F64, vec![3], huge)),
        LoadError::Range { tensor: name("bias"), index: 1, given: 1e39 }
    );
    assert_eq!(
        with("num_batches_tracked", count(-1, &[])),
        TensorError::Count { tensor: name("num_batches_tracked"), given: -1 }.into()
    );
    assert_eq!(
        with("num_batches_tracked", (Dtype::F32, vec![], vec![0; 4])),
        LoadError::Dtype { tensor: name("num_batches_tracked"), required: "I64", given: Dtype::F32 }
    );
    assert_eq!(
        with("num_batches_tracked", (Dtype::I64, vec![3], vec![0; 24])),
        LoadError::Shape { tensor: name("num_batches_tracked"), required: vec![], given: vec![3] }
    );
}

#[test]
fn files_that_are_cut_off_or_something_else() {
    let whole = file(&layer("bn."));
    for length in 0..whole.len() {
        let error = Checkpoint::open(&whole[..length]).unwrap_err();
        let names_it = matches!(&error, LoadError::Damaged { tensor, .. } if tensor.starts_with("bn."));
        assert!(names_it || matches!(error, LoadError::HeaderLength { .. }), "{length} bytes: {error}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(Checkpoint::open(&longer).unwrap_err(), LoadError::Surplus { .. }));

    let error = |bytes: &[u8]| Checkpoint::open(bytes).unwrap_err();
    let length = |required, given| LoadError::HeaderLength { required, given };
    assert_eq!(error(b""), length(8, 0));
    assert_eq!(error(&u64::MAX.to_le_bytes()), length(u64::MAX, 8));
    assert_eq!(error(&[&100_000_001u64.to_le_bytes()[..], b"{}"].concat()), length(100_000_009, 10));
    // What torch.save writes.
    assert!(error(b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl").to_string().contains("convert"));
    for header in
        ["", "[]", "null", "{", "{\"a\":}", "\u{7f}", &"[".repeat(100_000), &"{\"a\":".repeat(100_000)]
    {
        assert!(matches!(error(&raw(header, b"")), LoadError::Header(_)), "{header:.20}");
    }
    assert!(matches!(error(&[&1u64.to_le_bytes()[..], b"\xff"].concat()), LoadError::Header(_)));
    // A file without tensors is one.
    assert_eq!(Checkpoint::open(&raw("{}", b"")).unwrap().names().count(), 0);
}

#[test]
fn headers_that_lie() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!("{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}")
    };
    let good = entry("F32", "[1]", "[0,4]");
    let max = usize::MAX;
    for (bad, data) in [
        (entry("F33", "[1]", "[4,8]"), 8),
        (entry("f32", "[1]", "[4,8]"), 8),
        (entry("F32", "[-1]", "[4,8]"), 8),
        (entry("F32", "[1.5]", "[4,8]"), 8),
        (entry("F32", "1", "[4,8]"), 8),
        (entry("F32", "[1]", "[4]"), 8),
        (entry("F32", "[1]", "[4,8,12]"), 8),
        (entry("F32", "[1]", "[4,1e400]"), 8),
        ("7".into(), 8),
        ("{}".into(), 8),
        ("[[[[[]]]]]".into(), 8),
        // Out of range, overlapping, with a gap, backwards.
        (entry("F32", "[1]", "[4,8]"), 7),
        (entry("F32", "[1]", "[0,4]"), 8),
        (entry("F32", "[1]", "[2,6]"), 8),
        (entry("F32", "[1]", "[8,12]"), 12),
        (entry("F32", "[1]", "[4,0]"), 8),
        (entry("F32", "[1]", &format!("[4,{max}]")), 8),
        (entry("F32", "[1]", &format!("[{max},3]")), 8),
        // Another size than the shape.
        (entry("F32", "[2]", "[4,8]"), 8),
        (entry("F64", "[1]", "[4,8]"), 8),
        (entry("F4", "[1]", "[4,5]"), 5),
        (entry("F32", "[]", "[4,4]"), 4),
        (entry("F32", &format!("[{max}]"), "[4,8]"), 8),
        (entry("F32", "[4294967296,4294967296]", "[4,4]"), 4),
        (entry("F32", "[4294967296,4294967296,0]", "[4,4]"), 4),
    ] {
        let bytes = raw(&format!("{{\"ok\":{good},\"bad\":{bad}}}"), &vec![0; data]);
        let error = Checkpoint::open(&bytes).unwrap_err();
        // Of two that overlap, either may be named.
        let named = matches!(&error, LoadError::Damaged { tensor, .. } if tensor == "bad" || tensor == "ok");
        assert!(named, "{bad}: {error}");
    }
    // Sizes whose sum is beyond 2⁶⁴.
    let size = 1u64 << 60;
    let entries: Vec<String> = (0..20u64)
        .map(|i| {
            let (start, end) = (i.wrapping_mul(size), (i + 1).wrapping_mul(size));
            format!("\"t{i:02}\":{}", entry("U8", &format!("[{size}]"), &format!("[{start},{end}]")))
        })
        .collect();
    let error = Checkpoint::open(&raw(&format!("{{{}}}", entries.join(",")), b"")).unwrap_err();
    assert!(matches!(error, LoadError::Damaged { .. }), "{error}");

    // Metadata is nobody's tensor.
    let bytes = raw(&format!("{{\"__metadata__\":{{\"format\":\"pt\"}},\"ok\":{good}}}"), &[0; 4]);
    assert_eq!(Checkpoint::open(&bytes).unwrap().names().collect::<Vec<_>>(), ["ok"]);
}
