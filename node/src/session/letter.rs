//! What a private message is on the network: its text, and its identity if that is of a former run.
//!
//! A message that is said for the first time is named by its conversation. One that a former run of the program wrote
//! keeps the name that it got then: so whoever has heard it knows.

use bytes::{BufMut as _, Bytes, BytesMut};
use decury_common::base::id::{Incarnation, MemberId, MessageId};
use decury_common::base::limits::{MESSAGE_MAX, PAYLOAD_MAX};

/// It bears the name that its conversation gives it.
const NEW: u8 = 0;
/// It bears the name that follows.
const NAMED: u8 = 1;
/// Bytes of a name: incarnation, join, count, each little endian.
const NAME: usize = 8 + 4 + 8;

const _: () = assert!(1 + NAME + MESSAGE_MAX <= PAYLOAD_MAX);

/// The payload of a message; `former`: the name that it got in a former run.
pub(super) fn seal(former: Option<MessageId>, text: &[u8]) -> Bytes {
    let mut payload = BytesMut::with_capacity(1 + NAME + text.len());
    match former {
        None => payload.put_u8(NEW),
        Some(MessageId { sender, count }) => {
            payload.put_u8(NAMED);
            payload.put_u64_le(sender.incarnation.0);
            payload.put_u32_le(sender.join);
            payload.put_u64_le(count);
        }
    }
    payload.put_slice(text);
    payload.freeze()
}

/// Name and text of a payload that came under that name; `None` if it is no message.
pub(super) fn open(id: MessageId, mut payload: Bytes) -> Option<(MessageId, Bytes)> {
    let kind = payload.split_to(payload.len().min(1));
    let id = match *kind {
        [NEW] => id,
        [NAMED] if payload.len() > NAME => named(&payload.split_to(NAME))?,
        _ => return None,
    };
    (!payload.is_empty() && payload.len() <= MESSAGE_MAX).then_some((id, payload))
}

fn named(bytes: &[u8]) -> Option<MessageId> {
    let (incarnation, rest) = bytes.split_first_chunk()?;
    let (join, rest) = rest.split_first_chunk()?;
    let (count, _) = rest.split_first_chunk()?;
    let incarnation = Incarnation(u64::from_le_bytes(*incarnation));
    let sender = MemberId { incarnation, join: u32::from_le_bytes(*join) };
    Some(MessageId { sender, count: u64::from_le_bytes(*count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(count: u64) -> MessageId {
        MessageId { sender: MemberId { incarnation: Incarnation(0x0102_0304_0506_0708), join: 9 }, count }
    }

    #[test]
    fn a_message_comes_back_under_its_first_name() {
        for text in ["x".to_owned(), "y".repeat(MESSAGE_MAX)] {
            for former in [None, Some(id(u64::MAX))] {
                let payload = seal(former, text.as_bytes());
                assert!(payload.len() <= PAYLOAD_MAX);
                let opened = open(id(1), payload);
                assert_eq!(opened, Some((former.unwrap_or(id(1)), Bytes::from(text.clone()))));
            }
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let named = seal(Some(id(7)), b"x");
        let too_long = seal(None, "x".repeat(MESSAGE_MAX + 1).as_bytes());
        for payload in [&b""[..], &[NEW], &[NAMED], &[2, b'x'], &named[..named.len() - 1], &too_long] {
            assert_eq!(open(id(1), Bytes::copy_from_slice(payload)), None);
        }
    }
}
