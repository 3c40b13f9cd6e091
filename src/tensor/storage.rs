//! How a value lies in memory. Arithmetic is float32 whatever the storage type is.

/// The type of a tensor's values in memory. Statistics, weight, bias and their gradients are float32 always, and so is all
/// arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StorageType {
    /// IEEE 754 binary32.
    #[default]
    Float32,
    /// IEEE 754 binary16. What is stored is rounded to nearest, ties to even; from 65,520 on it is infinite.
    Float16,
    /// The upper half of a binary32: its exponent, and 7 bits of its mantissa. Rounded likewise.
    BFloat16,
}

impl StorageType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Float32, Self::Float16, Self::BFloat16];

    /// Whether two values share a word of 32 bits, the smallest that WGSL can write on every device.
    pub(crate) const fn is_half(self) -> bool {
        self.bytes() == 2
    }

    /// Bytes of a value.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::BFloat16 => 2,
        }
    }
}

impl std::fmt::Display for StorageType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
        })
    }
}
