//! The states that were seen: of each 64 bits of its digest, and how long it takes from there to the end at most.

const FIRST: usize = 1 << 16;
const EMPTY: u64 = 0;

/// Digests with a number each, in one table with open addressing: twelve bytes a place.
///
/// Two states of one digest count as one. Of `n` states no two have one with a probability of about `1 - n² / 2⁶⁵`: for
/// 50 million states that leaves one in ten thousand.
#[derive(Debug)]
pub struct Seen {
    digests: Vec<u64>,
    values: Vec<u32>,
    len: usize,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen { digests: vec![EMPTY; FIRST], values: vec![0; FIRST], len: 0 }
    }
}

impl Seen {
    /// What is noted for this digest.
    pub fn get(&self, digest: u64) -> Option<u32> {
        let place = self.place(digest);
        (self.digests[place] != EMPTY).then(|| self.values[place])
    }

    /// Notes something for it.
    pub fn set(&mut self, digest: u64, value: u32) {
        let mut place = self.place(digest);
        if self.digests[place] == EMPTY {
            self.len += 1;
            if self.len * 4 > self.digests.len() * 3 {
                self.grow();
                place = self.place(digest);
            }
        }
        self.digests[place] = digest.max(1);
        self.values[place] = value;
    }

    fn grow(&mut self) {
        let places = self.digests.len() * 2;
        let digests = std::mem::replace(&mut self.digests, vec![EMPTY; places]);
        let values = std::mem::replace(&mut self.values, vec![0; places]);
        for (digest, value) in digests.into_iter().zip(values).filter(|&(digest, _)| digest != EMPTY) {
            let place = self.place(digest);
            self.digests[place] = digest;
            self.values[place] = value;
        }
    }

    /// Where this digest is, or would be.
    fn place(&self, digest: u64) -> usize {
        let (digest, mask) = (digest.max(1), self.digests.len() - 1);
        let mut place = digest as usize & mask;
        while self.digests[place] != EMPTY && self.digests[place] != digest {
            place = (place + 1) & mask;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_found_again_however_many_there_are() {
        let mut seen = Seen::default();
        let digest = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for n in 0..200_000 {
            assert_eq!(seen.get(digest(n)), None);
            seen.set(digest(n), n as u32);
        }
        for n in 0..200_000 {
            assert_eq!(seen.get(digest(n)), Some(n as u32));
        }
        seen.set(digest(7), 70);
        assert_eq!((seen.get(digest(7)), seen.get(digest(8))), (Some(70), Some(8)));
    }
}
