//! The fragments of one sender, found by `seq & mask`.

use bytes::Bytes;

use crate::wire::multicast::Head;

/// A fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Present in a message's first fragment.
    pub(super) head: Option<Head>,
    /// The message ends here.
    pub(super) last: bool,
    /// Its bytes.
    pub(super) payload: Bytes,
}

/// A ring grown beyond this many slots gives its memory back when it is empty.
const KEPT_SLOTS: usize = 128;
const FIRST_SLOTS: usize = 16;

/// Slots for the numbers above `floor`. It grows with the distance that is in use and by itself has no limit: its owner
/// has one.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    /// Empty, or a power of two.
    slots: Vec<Option<Slot>>,
    /// Everything up to here is gone.
    floor: u64,
    held: usize,
}

impl Ring {
    /// Everything up to here is gone.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Slot> {
        if !self.spans(seq) {
            return None;
        }
        self.slots[self.place(seq)].as_ref()
    }

    /// Puts a fragment above the floor into its place; what was there before stays. Whether it was put.
    pub(super) fn insert(&mut self, seq: u64, slot: Slot) -> bool {
        if seq <= self.floor || self.get(seq).is_some() {
            return false;
        }
        if !self.spans(seq) {
            self.grow(seq);
        }
        let place = self.place(seq);
        self.slots[place] = Some(slot);
        self.held += 1;
        true
    }

    /// Forgets everything up to `upto`.
    pub(super) fn free(&mut self, upto: u64) {
        for seq in self.floor + 1..=upto {
            if !self.spans(seq) {
                break;
            }
            let place = self.place(seq);
            if self.slots[place].take().is_some() {
                self.held -= 1;
            }
        }
        self.floor = self.floor.max(upto);
        if self.held == 0 && self.slots.len() > KEPT_SLOTS {
            self.slots = Vec::new();
        }
    }

    fn spans(&self, seq: u64) -> bool {
        seq > self.floor && seq - self.floor <= self.slots.len() as u64
    }

    fn place(&self, seq: u64) -> usize {
        seq as usize & (self.slots.len() - 1)
    }

    fn grow(&mut self, seq: u64) {
        let distance = usize::try_from(seq - self.floor).unwrap_or(usize::MAX);
        let grown = Ring {
            slots: vec![None; distance.next_power_of_two().max(FIRST_SLOTS)],
            floor: self.floor,
            held: self.held,
        };
        let old = std::mem::replace(self, grown);
        let mut slots = old.slots;
        let mask = slots.len().wrapping_sub(1);
        for seq in old.floor + 1..=old.floor + slots.len() as u64 {
            let place = self.place(seq);
            self.slots[place] = slots[seq as usize & mask].take();
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(byte: u8) -> Slot {
        Slot { head: None, last: true, payload: Bytes::copy_from_slice(&[byte]) }
    }

    fn byte(ring: &Ring, seq: u64) -> Option<u8> {
        ring.get(seq).map(|slot| slot.payload[0])
    }

    #[test]
    fn growing_keeps_every_fragment_in_its_place() {
        let mut ring = Ring::default();
        ring.free(1000);
        for seq in (1001..1300).rev().step_by(3) {
            assert!(ring.insert(seq, slot(seq as u8)));
        }
        for seq in 1001..1300 {
            let expected = ((1299 - seq) % 3 == 0).then_some(seq as u8);
            assert_eq!(byte(&ring, seq), expected, "{seq}");
        }
    }

    #[test]
    fn nothing_is_found_below_the_floor_or_a_turn_later() {
        let mut ring = Ring::default();
        ring.insert(1, slot(1));
        assert_eq!(byte(&ring, 1 + ring.capacity() as u64), None);
        assert!(!ring.insert(1, slot(2)), "a second fragment of the same number is ignored");
        assert_eq!(byte(&ring, 1), Some(1));
        ring.free(1);
        assert_eq!(byte(&ring, 1), None);
        assert!(!ring.insert(1, slot(1)));
    }

    #[test]
    fn an_empty_ring_gives_a_large_memory_back() {
        let mut ring = Ring::default();
        for seq in 1..=600 {
            ring.insert(seq, slot(0));
        }
        assert_eq!(ring.capacity(), 1024);
        ring.free(599);
        assert_eq!(ring.capacity(), 1024);
        ring.free(600);
        assert_eq!(ring.capacity(), 0);
        assert!(ring.insert(601, slot(7)));
        assert_eq!(byte(&ring, 601), Some(7));
    }
}
