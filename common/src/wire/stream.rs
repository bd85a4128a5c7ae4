//! Frames over an ordered byte stream: a version byte once, then each frame behind its length.
//!
//! Both sides begin with one byte, [`VERSION`]. A frame is its length (two bytes, little endian, at most
//! [`FRAME_MAX`]) and then a value in postcard's encoding. A stream cuts bytes anywhere, so that a
//! [`FrameReader`] is fed with whatever has come and never holds more than one frame.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::limits::STREAM_FRAME_MAX as FRAME_MAX;

/// The version of the protocol over streams; one that begins otherwise is refused.
pub const VERSION: u8 = 1;

/// Bytes before each frame.
const LENGTH: usize = 2;

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StreamError {
    /// The first byte is not [`VERSION`].
    #[error("the other side speaks version {0} of the protocol, this one speaks {VERSION}")]
    Version(u8),
    /// A frame's length is 0 or exceeds the limit.
    #[error("a frame of {0} bytes; 1 to {FRAME_MAX} are allowed")]
    Length(usize),
    /// A frame that does not decode, exceeds a limit, or has bytes left over.
    #[error("a frame that does not decode")]
    Frame,
}

/// A value as a frame, its length before it.
///
/// Every list in a value that travels is bounded by its type so that it fits; one that did not would be an empty
/// frame, which every reader refuses.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let body = postcard::to_stdvec(value).unwrap_or_default();
    debug_assert!((1..=FRAME_MAX).contains(&body.len()), "a frame outgrew its limit");
    let length = u16::try_from(body.len()).ok().filter(|&n| usize::from(n) <= FRAME_MAX).unwrap_or(0);
    let mut bytes = Vec::with_capacity(LENGTH + usize::from(length));
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body[..usize::from(length)]);
    bytes
}

/// How many bytes a value takes in a frame.
pub fn encoded_len<T: Serialize>(value: &T) -> usize {
    postcard::to_stdvec(value).map_or(usize::MAX, |bytes| bytes.len())
}

/// A frame's value; nothing may be left over.
pub fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, StreamError> {
    match postcard::take_from_bytes(frame) {
        Ok((value, [])) => Ok(value),
        _ => Err(StreamError::Frame),
    }
}

/// Cuts a stream into frames.
#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    greeted: bool,
    /// The frame that is coming in, its length before it: at most `LENGTH + FRAME_MAX` bytes.
    held: Vec<u8>,
}

impl FrameReader {
    /// The reader of a new stream.
    pub fn new() -> FrameReader {
        FrameReader::default()
    }

    /// Takes bytes off the front of `input` up to the end of one frame, and returns that frame. `None`: all are
    /// taken, and the frame is not complete yet. After an error the stream is of no use any more.
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, StreamError> {
        if !self.greeted {
            match take(input, 1) {
                [] => return Ok(None),
                [VERSION] => self.greeted = true,
                [other, ..] => return Err(StreamError::Version(*other)),
            }
        }
        if !self.fill(LENGTH, input) {
            return Ok(None);
        }
        let length = usize::from(u16::from_le_bytes([self.held[0], self.held[1]]));
        if length == 0 || length > FRAME_MAX {
            return Err(StreamError::Length(length));
        }
        if !self.fill(LENGTH + length, input) {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.held).split_off(LENGTH)))
    }

    /// Moves bytes from `input` until `held` has `wanted`; whether it has.
    fn fill(&mut self, wanted: usize, input: &mut &[u8]) -> bool {
        let missing = wanted.saturating_sub(self.held.len());
        self.held.extend_from_slice(take(input, missing));
        self.held.len() >= wanted
    }
}

/// Splits at most `count` bytes off the front.
fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn stream(values: &[&str]) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        values.iter().for_each(|value| bytes.extend(encode(value)));
        bytes
    }

    fn read(reader: &mut FrameReader, mut bytes: &[u8]) -> Result<Vec<String>, StreamError> {
        let mut values = Vec::new();
        while let Some(frame) = reader.next_frame(&mut bytes)? {
            values.push(decode::<&str>(&frame)?.to_owned());
        }
        assert!(bytes.is_empty(), "what is not a whole frame is taken in");
        Ok(values)
    }

    #[test]
    fn frames_survive_every_cut() {
        let values = ["a", "", "some longer text", &"x".repeat(FRAME_MAX - 2 - 1)];
        let bytes = stream(&values);
        let mut rng = Rng::from_seed(1);
        for chunk in (1..40).chain((0..40).map(|_| 1 + rng.below(20_000) as usize)) {
            let mut reader = FrameReader::new();
            let got: Vec<String> =
                bytes.chunks(chunk).flat_map(|part| read(&mut reader, part).unwrap()).collect();
            assert_eq!(got, values);
        }
    }

    #[test]
    fn another_version_is_refused_by_its_first_byte() {
        assert_eq!(read(&mut FrameReader::new(), b"GET / HTTP/1.1"), Err(StreamError::Version(b'G')));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_bytes_come() {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&u16::try_from(FRAME_MAX + 1).unwrap().to_le_bytes());
        assert_eq!(read(&mut FrameReader::new(), &bytes), Err(StreamError::Length(FRAME_MAX + 1)));
        assert_eq!(read(&mut FrameReader::new(), &[VERSION, 0, 0]), Err(StreamError::Length(0)));
    }

    #[test]
    fn a_frame_with_bytes_left_over_does_not_decode() {
        assert_eq!(decode::<u8>(&[1]), Ok(1));
        assert_eq!(decode::<u8>(&[1, 2]), Err(StreamError::Frame));
        assert_eq!(decode::<u8>(&[]), Err(StreamError::Frame));
    }
}
