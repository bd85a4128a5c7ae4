//! Messages to fragments and back.

use bytes::{Bytes, BytesMut};

use super::ring::Slot;
use crate::base::limits::{FRAGMENT_MAX, FRAGMENTS_MAX, MEMBERS_MAX, PAYLOAD_MAX};
use crate::wire::multicast::Head;

/// Bytes that a head may take, encoded: its count, its dependencies' number and entries, its proposal, its time.
const fn head_room(deps: usize) -> usize {
    10 + 1 + deps * 11 + 10 + 11
}

/// The first fragment shares its room with the head, whatever the dependencies are.
const FIRST_MIN: usize = FRAGMENT_MAX - head_room(MEMBERS_MAX);

const _: () = assert!(count(PAYLOAD_MAX) == FRAGMENTS_MAX as u64);

/// How many fragments a message of `len` bytes has at most.
pub(super) const fn count(len: usize) -> u64 {
    1 + len.saturating_sub(FIRST_MIN).div_ceil(FRAGMENT_MAX) as u64
}

/// Cuts a message; no byte is copied.
pub(super) fn split(head: Head, mut payload: Bytes) -> impl Iterator<Item = Slot> {
    let mut room = FRAGMENT_MAX - head_room(head.deps.len());
    let mut head = Some(head);
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let part = payload.split_to(payload.len().min(room));
        room = FRAGMENT_MAX;
        ended = payload.is_empty();
        Some(Slot { head: head.take(), last: ended, payload: part })
    })
}

/// Puts a message together. `None` if these fragments are none: the first and only the first has a head, the last and
/// only the last is marked as such, and together they do not exceed the largest message.
pub(super) fn join<'a>(fragments: impl Iterator<Item = &'a Slot> + Clone) -> Option<(Head, Bytes)> {
    let mut rest = fragments.clone();
    let first = rest.next()?;
    let head = first.head.clone()?;
    if first.last {
        return rest.next().is_none().then(|| (head, first.payload.clone()));
    }
    let len = fragments.clone().map(|slot| slot.payload.len()).sum();
    let (mut heads, mut ends, mut last) = (0, 0, false);
    for slot in fragments.clone() {
        heads += usize::from(slot.head.is_some());
        ends += usize::from(slot.last);
        last = slot.last;
    }
    if heads != 1 || ends != 1 || !last || len > PAYLOAD_MAX {
        return None;
    }
    let mut payload = BytesMut::with_capacity(len);
    fragments.for_each(|slot| payload.extend_from_slice(&slot.payload));
    Some((head, payload.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::wire::multicast::Deps;

    fn head(deps: usize) -> Head {
        Head {
            count: u64::MAX,
            deps: (0..deps).map(|_| (u8::MAX, u64::MAX)).collect(),
            proposal: u64::MAX,
            sent_at: Some(Instant::from_micros(u64::MAX)),
        }
    }

    #[test]
    fn every_length_comes_back_and_every_fragment_fits() {
        let around = [0, 1, FIRST_MIN, FIRST_MIN + 1, FRAGMENT_MAX, 2 * FRAGMENT_MAX + 7, PAYLOAD_MAX];
        for (len, deps) in around.into_iter().flat_map(|len| [(len, 0), (len, 3), (len, MEMBERS_MAX)]) {
            let payload: Bytes = (0..len).map(|i| i as u8).collect();
            let slots: Vec<Slot> = split(head(deps), payload.clone()).collect();
            assert!(slots.len() as u64 <= count(len), "{len} bytes, {deps} dependencies");
            for slot in &slots {
                let head = slot.head.as_ref().map_or(0, |head| postcard::to_stdvec(head).unwrap().len());
                assert!(head + slot.payload.len() <= FRAGMENT_MAX);
            }
            assert_eq!(join(slots.iter()), Some((head(deps), payload)));
        }
    }

    #[test]
    fn what_is_no_message_is_not_joined() {
        let part = |head: bool, last: bool, len: usize| Slot {
            head: head.then(|| Head { count: 1, deps: Deps::new(), proposal: 0, sent_at: None }),
            last,
            payload: vec![0; len].into(),
        };
        let cases: [&[Slot]; 6] = [
            &[],
            &[part(false, true, 1)],
            &[part(true, false, 1), part(true, true, 1)],
            &[part(true, false, 1), part(false, false, 1)],
            &[part(true, true, 1), part(false, true, 1)],
            &[part(true, false, PAYLOAD_MAX), part(false, true, 1)],
        ];
        for case in cases {
            assert_eq!(join(case.iter()), None);
        }
    }
}
