//! The part of the multicast in a change of view: frozen, fetching the cut, released.

use super::ranges::Ranges;
use super::repair::Fetch;
use super::{Multicast, Phase};
use crate::base::limits::MEMBERS_MAX;
use crate::base::list::List;
use crate::base::time::Instant;
use crate::wire::membership::{Holder, Holdings};

impl Multicast {
    /// A change of view is promised: from now on no new message, no acknowledgement, no delivery. What arrives is
    /// stored; repeating and answering requests go on. Harmless when frozen already.
    pub fn freeze(&mut self) {
        if self.phase == Phase::Live {
            self.phase = Phase::Frozen;
            // Only a cut asks from here on; repairs of the living view may be in vain.
            self.peers.iter_mut().for_each(|peer| peer.ask = None);
        }
    }

    /// Whether [`Multicast::freeze`] was called and [`Multicast::release`] was not.
    pub fn is_frozen(&self) -> bool {
        self.phase == Phase::Frozen
    }

    /// What is held, for the `Promise`: whole messages only.
    pub fn holdings(&self) -> Holdings {
        self.windows.iter().map(|window| window.holding()).collect()
    }

    /// Asks the holders for what is lacking of a cut, until [`Multicast::lacking`] says that nothing is: on a timer,
    /// never because an answer came. A later call replaces an earlier one.
    pub fn fetch(&mut self, now: Instant, upto: &[u64], holders: &[Holder]) {
        for (window, &upto) in self.windows.iter_mut().zip(upto) {
            window.widen(upto);
        }
        self.fetch = Some(Fetch::new(now, self.me, self.windows.len(), upto, holders));
        self.ask_for_cut(now);
    }

    pub(super) fn ask_for_cut(&mut self, now: Instant) {
        let Some(fetch) = &mut self.fetch else { return };
        let peers = &self.peers;
        let requests = fetch.handle_timeout(now, &self.windows, |rank| peers[rank].flight.timing().timeout());
        for (holder, request) in requests {
            self.peers[holder].ask = Some(request);
        }
    }

    /// Whether everything up to the cut (the last fragment of each sender's last message) is held.
    pub fn holds(&self, upto: &[u64]) -> bool {
        self.lacking(upto) == 0
    }

    /// How many fragments up to the cut are not held: as they come, the fetch makes progress.
    pub fn lacking(&self, upto: &[u64]) -> u64 {
        self.windows.iter().zip(upto).map(|(window, &upto)| window.lacking(upto)).fold(0, u64::saturating_add)
    }

    /// The change is installed: [`Multicast::poll_message`] yields what is left, up to the cut and no further.
    /// Nothing else leaves any more.
    pub fn release(&mut self, upto: &[u64]) {
        self.phase = Phase::Released(upto.to_vec());
        self.fetch = None;
    }
}

/// The cut for those who go together: for each of the `members` of their prior view the end of the longest prefix of
/// whole messages that they hold between them.
pub fn cut<'a>(members: usize, holdings: impl Iterator<Item = &'a Holdings>) -> List<u64, MEMBERS_MAX> {
    let mut held = vec![Ranges::default(); members];
    for promised in holdings {
        for (union, holding) in held.iter_mut().zip(promised) {
            Ranges::of_holding(holding).iter().for_each(|(first, last)| union.insert_range(first, last));
        }
    }
    held.iter_mut().map(|union| union.take_from(1).unwrap_or(0)).collect()
}
