//! The part of the multicast in a change of view: frozen, fetching the cut, released.

use super::ranges::Ranges;
use super::repair::Fetch;
use super::{Arrived, Multicast, Phase};
use crate::base::limits::MEMBERS_MAX;
use crate::base::list::List;
use crate::base::time::Instant;
use crate::wire::membership::{Holder, Holding, Holdings};

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

    /// The next whole message of a cut that is held in full, although frozen: so that the order layer can decide about
    /// all of them before any is delivered.
    pub fn poll_cut(&mut self, upto: &[u64]) -> Option<Arrived> {
        self.windows.iter_mut().zip(upto).find_map(|(window, &upto)| window.poll(upto))
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

/// How many messages of each of the `members` that cut has. (A sender numbers its messages without gaps over all views,
/// so the number of the last one and that of any one whose place in the view is known tell.)
pub fn messages<'a>(
    members: usize,
    holdings: impl Iterator<Item = &'a Holdings> + Clone,
) -> impl Iterator<Item = u64> {
    let cut = cut(members, holdings.clone());
    (0..members).map(move |sender| {
        let held = holdings.clone().filter_map(|promised| promised.get(sender));
        let known = held.clone().find(|holding| holding.messages > 0);
        let before = known.map_or(0, |holding| holding.count.saturating_sub(holding.messages));
        let last = held.filter_map(|holding| last_number(holding, cut[sender])).max();
        last.map_or(0, |count| count.saturating_sub(before))
    })
}

/// The number of the message that ends with `upto`, if this holder knows it.
fn last_number(holding: &Holding, upto: u64) -> Option<u64> {
    if upto == holding.contiguous {
        return Some(holding.count).filter(|_| upto > 0);
    }
    let ranges = Ranges::from_spans(holding.contiguous, &holding.beyond);
    let at = ranges.iter().position(|(_, last)| last == upto)?;
    holding.counts.get(at).copied()
}
