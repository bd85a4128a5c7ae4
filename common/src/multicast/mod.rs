//! Reliable multicast in one view: what one member sends, every member holds in the end, or the view changes.
//!
//! A message is cut into fragments with consecutive `seq`, each sent to every other member once. Receivers return
//! for every sender what they hold (the receive vector). From the vectors follow: what the sender must repeat, what
//! any holder can repair for a member that lacks it, what is *stable* (held by all, hence forgotten once it is
//! delivered here as well), and how much a sender may have under way.
//!
//! One [`Multicast`] serves exactly one view. Members are named by their rank in it. Life: live, then frozen by
//! [`Multicast::freeze`] (a change of view has been promised), then either released by [`Multicast::release`] up to
//! the cut, and dropped once it is drained, or dropped at once.
//!
//! Drive it like every other layer: `handle_*` what comes, [`Multicast::poll_message`] what is complete,
//! [`Multicast::write`] what is due, for every other member, before sleeping until [`Multicast::poll_timeout`].

use std::time::Duration;

use bytes::Bytes;

use crate::base::id::Rank;
use crate::base::limits::MEMBERS_MAX;
use crate::base::list::List;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::wire::membership::{Holder, Holdings};
use crate::wire::multicast::{Acks, Data, Head, Request};
use crate::wire::{Packer, Section};

/// A whole message, the next of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Who sent it.
    pub sender: Rank,
    /// The how-manieth of its sender in this view, from 1.
    pub index: u64,
    /// What it says of itself.
    pub head: Head,
    /// What was sent.
    pub payload: Bytes,
}

/// What happened since the view began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `Data` frames sent for the first time, one per peer.
    pub sent: u64,
    /// `Data` frames sent again, to their own receivers or for others.
    pub repeated: u64,
    /// `Data` frames received that were held already.
    pub duplicates: u64,
    /// Frames, or entries of frames, that no correct member would send, and `Data` outside the window.
    pub refused: u64,
}

/// The reliable multicast of one view.
#[derive(Clone, Debug)]
pub struct Multicast {
    members: usize,
    counters: Counters,
}

impl Multicast {
    /// A new view of `members` members, in which this node has rank `me`.
    pub fn new(_now: Instant, _me: Rank, members: usize) -> Multicast {
        Multicast { members, counters: Counters::default() }
    }

    /// Whether a message of `len` bytes fits the window now. (A largest message always fits an empty window.)
    pub fn can_send(&self, _len: usize) -> bool {
        false
    }

    /// Sends a message to all members, this one included. The caller has asked [`Multicast::can_send`]: the window is
    /// not checked again.
    pub fn send(&mut self, _now: Instant, _head: Head, _payload: Bytes) {}

    /// A fragment has come from the member with rank `from`, be it the sender or a holder. The payload is kept as a
    /// slice of `datagram` if it lies within (one allocation a datagram), else copied.
    pub fn handle_data(&mut self, _now: Instant, _from: Rank, _data: &Data<'_>, _datagram: &Bytes) {}

    /// A receive vector has come.
    pub fn handle_acks(&mut self, _now: Instant, _from: Rank, _acks: &Acks) {}

    /// A member asks for what it lacks. The newest request of a member replaces what is left of its former one.
    pub fn handle_request(&mut self, _now: Instant, _from: Rank, _request: &Request) {}

    /// The next whole message; each sender's in order, without gaps, this member's own among them. `None` while
    /// frozen; after [`Multicast::release`] up to the cut only.
    pub fn poll_message(&mut self) -> Option<Arrived> {
        None
    }

    /// The application has message number `index` of that sender, and all before it.
    pub fn delivered(&mut self, _now: Instant, _sender: Rank, _index: u64) {}

    /// The round-trip time to a member, as the mesh measures it.
    pub fn set_rtt(&mut self, _rank: Rank, _srtt: Duration, _rttvar: Duration) {}

    /// Whether a member is suspected: then it is sent hardly anything, and others repair what it had sent.
    pub fn suspected(&mut self, _now: Instant, _rank: Rank, _suspected: bool) {}

    /// A heartbeat is about to leave to that member: let the receive vector ride on it.
    pub fn heartbeat(&mut self, _rank: Rank) {}

    /// Time has passed.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// The next deadline. It stays in the past until [`Multicast::handle_timeout`] was called and then
    /// [`Multicast::write`] for every member: an owner that cannot reach one writes for it nevertheless and throws
    /// the datagram away.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        None
    }

    /// Adds the frames that are due for one member. Returns whether more is due than fitted; then the caller sends
    /// the datagram and calls again. Acknowledgements alone wait a little for something to ride on.
    #[must_use]
    pub fn write(&mut self, _now: Instant, _to: Rank, _section: Section, _packer: &mut Packer) -> bool {
        false
    }

    /// A change of view is promised: from now on no new message, no acknowledgement, no delivery. What arrives is
    /// stored; repeating and answering requests go on. Harmless when frozen already.
    pub fn freeze(&mut self) {}

    /// Whether [`Multicast::freeze`] was called and [`Multicast::release`] was not.
    pub fn is_frozen(&self) -> bool {
        false
    }

    /// What is held, for the `Promise`: whole messages only.
    pub fn holdings(&self) -> Holdings {
        Holdings::new()
    }

    /// Asks the holders for what is lacking of a cut, until [`Multicast::holds`] says that nothing is: on a timer,
    /// never because an answer came. A later call replaces an earlier one.
    pub fn fetch(&mut self, _now: Instant, _upto: &[u64], _holders: &[Holder]) {}

    /// Whether everything up to the cut (the last fragment of each sender's last message) is held.
    pub fn holds(&self, _upto: &[u64]) -> bool {
        false
    }

    /// The change is installed: [`Multicast::poll_message`] yields what is left, up to the cut and no further.
    /// Nothing else leaves any more.
    pub fn release(&mut self, _upto: &[u64]) {}

    /// Up to which fragment of that sender every member is known to hold all.
    pub fn stable(&self, _sender: Rank) -> u64 {
        0
    }

    /// Whether everything that this member sent is held by every member.
    pub fn is_all_stable(&self) -> bool {
        self.members <= 1
    }

    /// What happened since the view began.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

/// The cut for those who go together: for each of the `members` of their prior view the end of the longest prefix of
/// whole messages that they hold between them.
pub fn cut<'a>(members: usize, _holdings: impl Iterator<Item = &'a Holdings>) -> List<u64, MEMBERS_MAX> {
    (0..members).map(|_| 0).collect()
}
