//! Bytes that look random, and what sums them up.

/// `len` bytes that a seed determines.
pub(crate) fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// FNV-1a.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} bytes, {hash:016x}", bytes.len())
}

/// What was expected, summed up; a panic when it is not what came.
pub(crate) fn same(came: &[u8], expected: &[u8]) -> String {
    if came != expected {
        let at = came.iter().zip(expected).position(|(a, b)| a != b);
        panic!(
            "bytes differ: {} came, {} were expected, the first that differs is {at:?}",
            came.len(),
            expected.len()
        );
    }
    digest(expected)
}
