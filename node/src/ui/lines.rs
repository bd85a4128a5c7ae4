//! Bytes to lines, within bounds: however long a line is, no more of it is kept than could be a message.

use std::io::{self, BufRead};

use decury_common::base::limits::MESSAGE_MAX;

/// Bytes of a line that are kept: the longest message, and room for a command before it.
const LINE_MAX: usize = MESSAGE_MAX + 256;

/// A line, without its line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It was longer than any line may be, and is gone.
    TooLong,
}

/// Reads lines.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    line: Vec<u8>,
}

impl<R: BufRead> LineReader<R> {
    /// A reader of `input`.
    pub fn new(input: R) -> LineReader<R> {
        LineReader { input, line: Vec::new() }
    }

    /// The next line; `None` at the end of the input. The last line needs no line feed.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut too_long = false;
        let mut anything = false;
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                break;
            }
            anything = true;
            let end = chunk.iter().position(|&b| b == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            too_long |= self.line.len() + part.len() > LINE_MAX;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.input.consume(consumed);
            if end.is_some() {
                break;
            }
        }
        let line = if too_long { Line::TooLong } else { Line::Whole(&self.line) };
        Ok(anything.then_some(line))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    fn lines(input: &[u8], buffer: usize) -> Vec<Option<Vec<u8>>> {
        let mut reader = LineReader::new(BufReader::with_capacity(buffer, input));
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        lines
    }

    #[test]
    fn lines_are_cut_alike_however_the_bytes_come() {
        for buffer in [1, 2, 3, 100] {
            let expected = [&b"one"[..], b"", b"two\r", b"last"].map(|line| Some(line.to_vec()));
            assert_eq!(lines(b"one\n\ntwo\r\nlast", buffer), expected);
            assert_eq!(lines(b"", buffer), []);
            assert_eq!(lines(b"\n", buffer), [Some(vec![])]);
        }
    }

    #[test]
    fn a_line_beyond_the_bound_is_refused_whole_and_the_next_one_is_read() {
        let mut input = vec![b'x'; 70 * 1024];
        input.extend_from_slice(b"\nnext\n");
        assert_eq!(lines(&input, 8192), [None, Some(b"next".to_vec())]);
        assert_eq!(lines(&[b'x'; LINE_MAX], 8192), [Some(vec![b'x'; LINE_MAX])]);
        assert_eq!(lines(&[b'x'; LINE_MAX + 1], 8192), [None]);
    }

    #[test]
    fn ten_megabytes_without_a_line_feed_take_no_more_memory_than_a_line() {
        let endless = io::repeat(b'x').take(10_000_000);
        let mut reader = LineReader::new(BufReader::new(endless));
        assert_eq!(reader.next_line().unwrap(), Some(Line::TooLong));
        assert!(reader.line.capacity() <= 2 * LINE_MAX);
        assert_eq!(reader.next_line().unwrap(), None);
    }
}
