//! What a peer has asked for and not been sent yet.

use std::collections::VecDeque;

use crate::base::id::Rank;
use crate::base::limits::REQUEST_FRAGMENTS_MAX;
use crate::wire::multicast::Request;

/// The rest of a peer's newest request.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// Sender, next and last fragment.
    ranges: VecDeque<(Rank, u64, u64)>,
}

impl Answers {
    /// A request replaces what is left of the former one: it says all that the peer lacks now. What it asks for beyond
    /// the bound is passed over. Returns how many of its entries make no sense.
    pub(super) fn replace(&mut self, request: &Request, members: usize) -> u64 {
        self.ranges.clear();
        let mut refused = 0;
        let mut room = REQUEST_FRAGMENTS_MAX as u64;
        for wanted in &request.ranges {
            let sender = usize::from(wanted.sender);
            if sender >= members || wanted.first == 0 || wanted.last < wanted.first {
                refused += 1;
            } else if room > 0 {
                let last = wanted.last.min(wanted.first.saturating_add(room - 1));
                room -= last - wanted.first + 1;
                self.ranges.push_back((sender, wanted.first, last));
            }
        }
        refused
    }

    /// The next fragment to send.
    pub(super) fn next(&self) -> Option<(Rank, u64)> {
        self.ranges.front().map(|&(sender, next, _)| (sender, next))
    }

    /// The next one is done with: sent, or not here.
    pub(super) fn pop(&mut self) {
        if let Some((_, next, last)) = self.ranges.front_mut() {
            if *next < *last {
                *next += 1;
            } else {
                self.ranges.pop_front();
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::multicast::Wanted;

    fn request(list: &[(u8, u64, u64)]) -> Request {
        let wanted = list.iter().map(|&(sender, first, last)| Wanted { sender, first, last });
        Request { ranges: wanted.collect() }
    }

    fn drain(answers: &mut Answers) -> Vec<(Rank, u64)> {
        let mut all = Vec::new();
        while let Some(next) = answers.next() {
            all.push(next);
            answers.pop();
        }
        all
    }

    #[test]
    fn what_makes_no_sense_is_counted_and_what_is_too_much_is_cut() {
        let mut answers = Answers::default();
        assert_eq!(answers.replace(&request(&[(3, 1, 1), (0, 0, 4), (0, 5, 4), (2, 7, 8)]), 3), 3);
        assert_eq!(drain(&mut answers), [(2, 7), (2, 8)]);
        answers.replace(&request(&[(0, 1, u64::MAX), (1, 1, 1)]), 3);
        assert_eq!(drain(&mut answers).len(), REQUEST_FRAGMENTS_MAX);
        answers.replace(&request(&[(0, u64::MAX, u64::MAX)]), 3);
        assert_eq!(drain(&mut answers), [(0, u64::MAX)]);
        answers.replace(&request(&[(0, 5, 6)]), 3);
        answers.replace(&request(&[(1, 1, 1)]), 3);
        assert_eq!(drain(&mut answers), [(1, 1)], "the newest counts");
    }
}
