//! Every bound of the protocol, in one place and checked against each other at compile time.
//!
//! What comes from the network is held against these before anything is allocated for it.

use std::time::Duration;

/// Members of a group.
pub const MEMBERS_MAX: usize = 10;
/// Bytes of a user's or a group's name.
pub const NAME_MAX: usize = 50;
/// Bytes of one message.
pub const MESSAGE_MAX: usize = 65_536;
/// Bytes of a payload: one message, and what a node may put before it.
pub const PAYLOAD_MAX: usize = MESSAGE_MAX + 32;
/// Bytes of one datagram: below an Ethernet MTU, with room for a tunnel's headers.
pub const DATAGRAM_MAX: usize = 1_400;
/// Bytes of a datagram kept free for what the channel layer adds (session, packet number, seal).
pub const CHANNEL_OVERHEAD: usize = 64;
/// Bytes of payload in one `Data` frame; a larger message travels as several.
pub const FRAGMENT_MAX: usize = 1_200;
/// Fragments of the largest message.
pub const FRAGMENTS_MAX: usize = PAYLOAD_MAX.div_ceil(FRAGMENT_MAX);

/// Fragments that one sender may have under way in a view (not yet held by every member).
pub const WINDOW_SLOTS: usize = 1_024;
/// Payload bytes that one sender may have under way in a view.
pub const WINDOW_BYTES: usize = 256 * 1024;
/// Bytes of datagrams that a node's socket is taken to hold until it says how many: what systems usually grant.
pub const RECEIVE_BUFFER: usize = 208 * 1024;
/// Fragments of one sender that a member keeps (delivered by not every member yet, or not stable yet).
pub const RING_SLOTS: usize = 4 * WINDOW_SLOTS;
/// Ranges beyond the contiguous prefix that one acknowledgement reports for one sender.
pub const ACK_RANGES_MAX: usize = 16;
/// Ranges beyond the contiguous prefix that a `Promise` reports for one sender.
pub const HOLDING_RANGES_MAX: usize = 64;
/// Ranges that one repair request names.
pub const REQUEST_RANGES_MAX: usize = 16;
/// Fragments that one repair request is answered with.
pub const REQUEST_FRAGMENTS_MAX: usize = 128;

/// Ranges of priorities that one frame carries.
pub const AGREED_MAX: usize = 64;
/// Ranges of priorities of one sender that a change of view carries; one for each message that can be kept.
pub const REPORT_RANGES_MAX: usize = RING_SLOTS;

/// Messages an application may have queued before they enter the window; then the sender is told `Busy`.
pub const QUEUE_MESSAGES: usize = 256;
/// Payload bytes queued likewise; one largest message always fits an empty queue.
pub const QUEUE_BYTES: usize = 256 * 1024;
/// Deliveries that wait for the application in one group; at the limit delivery pauses, and with it the senders.
pub const DELIVERIES_MAX: usize = 1_024;

/// Messages that a newcomer of a group is told.
pub const HISTORY_MAX: usize = 100;
/// Delivered messages of a group that a member keeps for others: for newcomers, and for sides that it meets again.
/// While somebody may still ask for them, twice as many.
pub const STORE_MESSAGES: usize = 8_192;
/// Payload bytes of these; twice as many likewise.
pub const STORE_BYTES: usize = 8 * 1024 * 1024;
/// Members of whom a member remembers up to which message it knows what they said.
pub const KNOWN_MAX: usize = 1_024;
/// Messages in one part of what somebody is told of the past.
pub const PAST_MESSAGES_MAX: usize = 1_024;
/// Bytes of messages after which such a part ends.
pub const PAST_BYTES: usize = 64 * 1024;

/// Addresses at which one node may be tried.
pub const ADDRESSES_MAX: usize = 8;
/// Groups that one node may be in.
pub const GROUPS_MAX: usize = 64;
/// Private conversations that a node has at a time, each way.
pub const CONVERSATIONS_MAX: usize = 64;
/// Nodes that one node keeps in touch with (members of its groups, those it met, those who ask to join).
pub const PEERS_MAX: usize = 128;
/// How often a datagram is passed on at most: the longest way through two full groups that merge.
pub const HOPS_MAX: u8 = 2 * MEMBERS_MAX as u8;
/// Datagrams to be passed on that may wait in one node; what comes beyond is lost, as in any router.
pub const RELAYED_MAX: usize = 1_024;

/// Bytes of one membership message (`Prepare`, `Promise`, `Cut`, `Recall`, `Past`), fragmented or not.
pub const PARCEL_MAX: usize = PARCEL_FRAGMENTS_MAX * PARCEL_FRAGMENT;
/// Fragments of one membership message.
pub const PARCEL_FRAGMENTS_MAX: usize = 512;
/// Bytes of one fragment of a membership message.
pub const PARCEL_FRAGMENT: usize = 1_100;

/// Bytes of one frame between a node and the tracker.
pub const STREAM_FRAME_MAX: usize = 16 * 1024;
/// Contacts that the tracker names for one group. Over [`MEMBERS_MAX`]: after a partition a group may have more.
pub const CONTACTS_MAX: usize = 2 * MEMBERS_MAX;
/// Entries of one answer of a listing; longer listings take several.
pub const LISTING_MAX: usize = 200;

/// Reports of runs that a tracker keeps; older ones make room.
pub const RUNS_MAX: usize = 1_000;

/// Silence after which a peer is suspected, unless configured otherwise.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(2);

const _: () = {
    assert!(FRAGMENT_MAX + CHANNEL_OVERHEAD + 128 <= DATAGRAM_MAX);
    assert!(PARCEL_FRAGMENT + CHANNEL_OVERHEAD + 64 <= DATAGRAM_MAX);
    assert!(WINDOW_SLOTS >= 2 * FRAGMENTS_MAX);
    assert!(WINDOW_BYTES >= 2 * PAYLOAD_MAX);
    assert!(RING_SLOTS.is_power_of_two() && RING_SLOTS > WINDOW_SLOTS);
    assert!(QUEUE_BYTES >= PAYLOAD_MAX);
    // A range of priorities takes at most 12 bytes while numbers and counters are below 2^28.
    assert!(MEMBERS_MAX * REPORT_RANGES_MAX * 12 + KNOWN_MAX * 32 <= PARCEL_MAX);
    // A part of the past, with one more of the largest messages, and all that its teller knows.
    assert!(PAST_BYTES + PAYLOAD_MAX + MEMBERS_MAX * 64 + KNOWN_MAX * 32 <= PARCEL_MAX);
    assert!(HISTORY_MAX <= STORE_MESSAGES);
    assert!(STREAM_FRAME_MAX <= u16::MAX as usize);
};
