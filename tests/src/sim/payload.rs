//! What the workload sends: text that is different in every message and at every place of it, so that a fragment in
//! the wrong place, or of another message, is seen.

use bytes::Bytes;

/// The payload number `serial` of a run, of `size` bytes (1 at least), all ASCII.
pub fn payload(serial: u64, size: usize) -> Bytes {
    let size = size.max(1);
    let mut text = format!("{serial}/{size} ").into_bytes();
    let mut state = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while text.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend((state >> 16).to_le_bytes().iter().take(6).map(|byte| b'a' + byte % 26));
    }
    text.truncate(size);
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_their_size_and_differ_everywhere() {
        for size in [1, 5, 6, 100, 65_536] {
            assert_eq!(payload(3, size).len(), size);
        }
        let (a, b) = (payload(1, 5000), payload(2, 5000));
        assert_ne!(a[..1200], a[1200..2400]);
        assert_ne!(a[3600..], b[3600..]);
    }
}
