//! Frames by which views change: join, prepare, promise, cut, ready, install.
//!
//! `Prepare`, `Promise`, `Cut`, `Recall` and `Past` can outgrow a datagram: they travel as [`Parcel`]s, fragmented and acknowledged.

use std::net::SocketAddr;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::DecodeError;
use super::multicast::Span;
use crate::base::id::{MemberId, MessageId, UserName, ViewId};
use crate::base::limits::{
    ADDRESSES_MAX, HOLDING_RANGES_MAX, KNOWN_MAX, MEMBERS_MAX, PARCEL_FRAGMENTS_MAX, PAST_MESSAGES_MAX,
    PAYLOAD_MAX,
};
use crate::base::list::List;
use crate::order::{OrderKind, OrderReport, OrderTable};

/// Where a node may be reached.
pub type Addresses = ArrayVec<SocketAddr, ADDRESSES_MAX>;

/// A member, as others need to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub id: MemberId,
    /// The person's name.
    pub name: UserName,
    /// Where to reach it.
    pub addresses: Addresses,
}

/// A wish to come in; repeated until a view is installed, forwarded to the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Who asks.
    pub member: Member,
}

/// The leader does not take a joiner in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// Whose wish is refused.
    pub member: MemberId,
    /// Why.
    pub reason: Refusal,
}

/// Why a joiner is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The group has ten members.
    Full,
    /// Somebody else of that name is in it.
    NameTaken,
    /// I am not in that group.
    NotHere,
}

/// The answer to a lower attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nack {
    /// The attempt refused.
    pub attempt: ViewId,
    /// The highest attempt promised.
    pub promised: ViewId,
}

/// To all participants, repeated until installed; to the coordinator alone while something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The attempt.
    pub attempt: ViewId,
    /// About how many fragments of its cut are missing; 0: ready.
    pub missing: u64,
}

/// All participants of this attempt were ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// The attempt, now a view.
    pub attempt: ViewId,
}

/// A fragment of an encoded [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel<'a> {
    /// Which kind it is: a newer one of a kind replaces an older one.
    pub kind: ParcelKind,
    /// Rises with each that this node sends in this group, over all its memberships.
    pub number: u64,
    /// This fragment, from 0.
    pub fragment: u16,
    /// How many there are.
    pub fragments: u16,
    /// The fragment's bytes.
    #[serde(borrow)]
    pub bytes: &'a [u8],
}

/// Which fragments of a parcel have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelAck {
    /// The parcel's kind.
    pub kind: ParcelKind,
    /// The parcel's number.
    pub number: u64,
    /// Those that have come.
    pub received: FragmentSet,
}

/// A set of fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentSet([u64; PARCEL_FRAGMENTS_MAX / 64]);

impl FragmentSet {
    /// Whether this fragment is in it.
    pub fn contains(&self, fragment: u16) -> bool {
        let (word, bit) = (usize::from(fragment) / 64, fragment % 64);
        self.0.get(word).is_some_and(|word| word >> bit & 1 == 1)
    }

    /// Puts a fragment in; one beyond the limit is ignored.
    pub fn insert(&mut self, fragment: u16) {
        let (word, bit) = (usize::from(fragment) / 64, fragment % 64);
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    /// Puts all of another set in.
    pub fn extend(&mut self, other: &FragmentSet) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, others)| *mine |= others);
    }
}

/// The kinds of parcels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ParcelKind {
    /// A [`Prepare`].
    Prepare,
    /// A [`Promise`].
    Promise,
    /// A [`Cut`].
    Cut,
    /// A [`Recall`].
    Recall,
    /// A [`Past`].
    Past,
}

impl ParcelKind {
    /// All of them.
    pub const ALL: [ParcelKind; 5] =
        [ParcelKind::Prepare, ParcelKind::Promise, ParcelKind::Cut, ParcelKind::Recall, ParcelKind::Past];
}

/// A membership message that may outgrow a datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The coordinator asks.
    Prepare(Prepare),
    /// A participant freezes and reports.
    Promise(Promise),
    /// The coordinator decides.
    Cut(Cut),
    /// Somebody asks what was said.
    Recall(Recall),
    /// It is told.
    Past(Past),
}

impl Message {
    /// Its kind.
    pub fn kind(&self) -> ParcelKind {
        match self {
            Message::Prepare(_) => ParcelKind::Prepare,
            Message::Promise(_) => ParcelKind::Promise,
            Message::Cut(_) => ParcelKind::Cut,
            Message::Recall(_) => ParcelKind::Recall,
            Message::Past(_) => ParcelKind::Past,
        }
    }

    /// The attempt, or the view, that it is about.
    pub fn attempt(&self) -> ViewId {
        match self {
            Message::Prepare(m) => m.attempt,
            Message::Promise(m) => m.attempt,
            Message::Cut(m) => m.attempt,
            Message::Recall(m) => m.view,
            Message::Past(m) => m.view,
        }
    }

    /// To bytes. (Encoding into memory cannot fail: every list is bounded by its type.)
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// From bytes; nothing may be left over.
    pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
        match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Ok(message),
            _ => Err(DecodeError::Frame),
        }
    }
}

/// Members, and of each the number of its last message that is known.
pub type Digest = List<(MemberId, u64), KNOWN_MAX>;

/// A member of a view asks another one what was said before it; repeated until answered by a [`Past`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// The view.
    pub view: ViewId,
    /// Which part: the answer names it. Rises with each part that this member asks for.
    pub part: u32,
    /// It was in no view before: it is told the last messages, of all sides. Else: all that was said on the side that
    /// the teller comes from.
    pub is_new: bool,
    /// What it has: nothing is told again.
    pub known: Digest,
}

/// A part of what was said before a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The view.
    pub view: ViewId,
    /// Which part.
    pub part: u32,
    /// Of whom the teller knew more than the asker. `None`: it does not remember what it knew before that view.
    pub known: Option<Digest>,
    /// The messages, in the order in which the teller delivered them. (It may not store all that it knew of.)
    pub said: List<Said, PAST_MESSAGES_MAX>,
    /// Whether there are more.
    pub more: bool,
}

/// A message, as history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its identity.
    pub id: MessageId,
    /// Its sender's name.
    pub from: UserName,
    /// Its clock; empty in `fifo`.
    pub clock: List<(UserName, u64), MEMBERS_MAX>,
    /// What was sent.
    pub payload: List<u8, PAYLOAD_MAX>,
}

/// Participants of one attempt: the members to be, and those who leave.
pub type Participants = List<Member, { 2 * MEMBERS_MAX }>;

/// The coordinator asks the participants to freeze, report, and go together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// This attempt: the view's id, if it succeeds.
    pub attempt: ViewId,
    /// The group's settings, for joiners.
    pub order: OrderKind,
    /// Who takes part.
    pub participants: Participants,
    /// The members of the view to be, by rank; all are participants.
    pub members: List<MemberId, MEMBERS_MAX>,
}

/// A participant is frozen, and says what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The attempt promised.
    pub attempt: ViewId,
    /// Where it comes from; `None` for a joiner.
    pub prior: Option<Prior>,
}

/// A promiser's state in its view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prior {
    /// Its view.
    pub view: ViewId,
    /// Its rank there.
    pub rank: u8,
    /// How many messages the group's sequence had when that view began.
    pub position: u64,
    /// What it holds of each member of that view.
    pub holdings: Holdings,
    /// What the order layer knows of messages not stable yet.
    pub order: OrderReport,
    /// What it knows of all that was ever said.
    pub known: Digest,
}

/// What is held of each member of a view, by rank.
pub type Holdings = List<Holding, MEMBERS_MAX>;

/// What is held of one member's messages: whole ones only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// All messages up to the one that ends with this fragment; 0 for none.
    pub contiguous: u64,
    /// How many messages these are.
    pub messages: u64,
    /// The last one's number among all that its sender has sent to the group; 0 for none.
    pub count: u64,
    /// Ranges of fragments of whole messages beyond, rising.
    pub beyond: List<Span, HOLDING_RANGES_MAX>,
    /// The same number of each range's last message.
    pub counts: List<u64, HOLDING_RANGES_MAX>,
}

/// The coordinator's decision: with what each prior view ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The attempt.
    pub attempt: ViewId,
    /// How many messages the group's sequence has when the new view begins.
    pub position: u64,
    /// One for each view that promisers come from.
    pub priors: List<PriorCut, { 2 * MEMBERS_MAX }>,
    /// For each participant, in the order of the `Prepare`, which of these it comes from; `None` for a joiner.
    pub origins: List<Option<u8>, { 2 * MEMBERS_MAX }>,
    /// What the participants know between them of all that was ever said.
    pub known: Digest,
}

/// With what one prior view ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriorCut {
    /// The view.
    pub view: ViewId,
    /// For each of its members, by rank: the last fragment of the last message that those who go together deliver.
    pub upto: List<u64, MEMBERS_MAX>,
    /// Who holds what: the promises that the cut is made of.
    pub holders: List<Holder, MEMBERS_MAX>,
    /// The order layer's decisions.
    pub order: OrderTable,
}

/// What one promiser holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its rank in the prior view.
    pub rank: u8,
    /// Its holdings.
    pub holdings: Holdings,
}
