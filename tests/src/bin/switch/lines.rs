//! What is typed, by lines, as it comes.

use std::io::{self, ErrorKind, Read as _};

/// More than a pipe holds: one read takes all there is, so that the next event is not missed.
const CHUNK: usize = 1 << 17;
/// A longer line is cut off: no command comes near.
const LINE_MAX: usize = 1 << 10;

/// Bytes that have come and are not a whole line yet, and lines that have not been taken.
#[derive(Default)]
pub(crate) struct Lines {
    part: Vec<u8>,
    whole: Vec<String>,
}

impl Lines {
    /// Reads what there is; false at the end of the input.
    pub(crate) fn read(&mut self) -> io::Result<bool> {
        let mut chunk = vec![0; CHUNK];
        let length = match io::stdin().lock().read(&mut chunk) {
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                return Ok(true);
            }
            length => length?,
        };
        self.add(&chunk[..length]);
        Ok(length > 0)
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    self.whole.push(String::from_utf8_lossy(&std::mem::take(&mut self.part)).into_owned())
                }
                _ if self.part.len() < LINE_MAX => self.part.push(byte),
                _ => {}
            }
        }
    }

    /// The lines that are whole.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = String> {
        std::mem::take(&mut self.whole).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_what_comes_and_bounded() {
        let mut lines = Lines::default();
        lines.add(b"cut ann");
        assert_eq!(lines.take().count(), 0);
        lines.add(b" bob\nheal\nsh");
        assert_eq!(lines.take().collect::<Vec<_>>(), ["cut ann bob", "heal"]);
        lines.add(&[b'x'; 2 * LINE_MAX]);
        lines.add(b"\n");
        assert_eq!(lines.take().map(|line| line.len()).collect::<Vec<_>>(), [LINE_MAX]);
    }
}
