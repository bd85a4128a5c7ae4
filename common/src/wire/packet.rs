//! A datagram: its header, and frames packed behind it.

use super::{DecodeError, Frame, Section, VERSION};
use crate::base::id::Incarnation;
use crate::base::limits::{CHANNEL_OVERHEAD, DATAGRAM_MAX};

/// Who speaks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender.
    pub from: Incarnation,
    /// The receiver; `None` while the sender knows an address only.
    pub to: Option<Incarnation>,
    /// How many nodes have passed it on: 0 when it comes straight from its sender. All that a relay may change.
    pub hops: u8,
}

impl Header {
    /// Encoded length.
    pub const LEN: usize = 18;

    fn encode(self) -> [u8; Header::LEN] {
        let mut bytes = [VERSION; Header::LEN];
        bytes[1] = self.hops;
        bytes[2..10].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[10..18].copy_from_slice(&self.to.map_or(0, |to| to.0).to_le_bytes());
        bytes
    }

    /// The same datagram, passed on once more.
    pub fn pass_on(datagram: &[u8]) -> Vec<u8> {
        let mut bytes = datagram.to_vec();
        if let Some(hops) = bytes.get_mut(1) {
            *hops = hops.saturating_add(1);
        }
        bytes
    }
}

/// Fills one datagram with frames. It allocates with the first.
#[derive(Clone, Debug)]
pub struct Packer {
    header: Header,
    bytes: Vec<u8>,
    len: usize,
    section: Option<Section>,
}

impl Packer {
    /// An empty datagram with this header.
    pub fn new(header: Header) -> Packer {
        Packer { header, bytes: Vec::new(), len: Header::LEN, section: None }
    }

    /// Bytes of frames that it still takes.
    pub fn room(&self) -> usize {
        DATAGRAM_MAX - CHANNEL_OVERHEAD - self.len
    }

    /// Whether it has no frame yet.
    pub fn is_empty(&self) -> bool {
        self.len == Header::LEN
    }

    /// Adds a frame that belongs to no group. False, and nothing is added, when it does not fit.
    pub fn push(&mut self, frame: &Frame<'_>) -> bool {
        if self.bytes.is_empty() {
            self.bytes = vec![0; DATAGRAM_MAX - CHANNEL_OVERHEAD];
            self.bytes[..Header::LEN].copy_from_slice(&self.header.encode());
        }
        match postcard::to_slice(frame, &mut self.bytes[self.len..]) {
            Ok(written) => {
                self.len += written.len();
                true
            }
            Err(_) => false,
        }
    }

    /// Adds a group's frame, and before it the section if the datagram is not in it already. False, and nothing is
    /// added, when they do not fit.
    pub fn push_in(&mut self, section: Section, frame: &Frame<'_>) -> bool {
        let before = self.len;
        if self.section != Some(section) && !self.push(&Frame::Section(section)) {
            return false;
        }
        if self.push(frame) {
            self.section = Some(section);
            return true;
        }
        self.len = before;
        false
    }

    /// The datagram.
    pub fn finish(mut self) -> Vec<u8> {
        if self.bytes.is_empty() {
            return self.header.encode().to_vec();
        }
        self.bytes.truncate(self.len);
        self.bytes
    }
}

/// Reads a datagram: the frames one by one, each with the section that it stands in.
#[derive(Clone, Debug)]
pub struct Unpacker<'a> {
    rest: &'a [u8],
    section: Option<Section>,
}

impl<'a> Unpacker<'a> {
    /// Splits the header off.
    pub fn new(bytes: &'a [u8]) -> Result<(Header, Unpacker<'a>), DecodeError> {
        let (&version, rest) = bytes.split_first().ok_or(DecodeError::Short)?;
        if version != VERSION {
            return Err(DecodeError::Version);
        }
        let (&hops, rest) = rest.split_first().ok_or(DecodeError::Short)?;
        let (from, rest) = rest.split_first_chunk().ok_or(DecodeError::Short)?;
        let (to, rest) = rest.split_first_chunk().ok_or(DecodeError::Short)?;
        let to = u64::from_le_bytes(*to);
        let from = Incarnation(u64::from_le_bytes(*from));
        let header = Header { from, to: (to != 0).then_some(Incarnation(to)), hops };
        Ok((header, Unpacker { rest, section: None }))
    }

    /// The next frame. Sections are taken in and not returned.
    pub fn next_frame(&mut self) -> Result<Option<(Option<Section>, Frame<'a>)>, DecodeError> {
        while !self.rest.is_empty() {
            let (frame, rest) = postcard::take_from_bytes(self.rest).map_err(|_| DecodeError::Frame)?;
            self.rest = rest;
            match frame {
                Frame::Section(section) => self.section = Some(section),
                frame => return Ok(Some((self.section, frame))),
            }
        }
        Ok(None)
    }
}
