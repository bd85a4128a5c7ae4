//! Who is who: names, running nodes, members, groups, views and messages.

use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::limits::NAME_MAX;
use crate::order::OrderKind;

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a name has 1 to {NAME_MAX} letters, digits, '.', '_' or '-'")]
pub struct BadName;

/// A valid name: 1 to [`NAME_MAX`] ASCII letters, digits, `.`, `_`, `-`; case-sensitive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Name(ArrayString<NAME_MAX>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Name, BadName> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || !text.bytes().all(valid) {
            return Err(BadName);
        }
        ArrayString::from(text).map(Name).map_err(|_| BadName)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        <&str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Name);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<$name, BadName> {
                text.parse().map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

named! {
    /// A person's name. No two members of a view have the same.
    UserName
}
named! {
    /// A group's name, as people type it.
    GroupName
}

/// A person: a random number drawn once, when the person's data is created. It stays the same when the node starts
/// again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity(pub u64);

/// A running node: a random number drawn when it starts. A node that starts again is another one, and never mistaken
/// for its former self.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

/// A node in a group: joining again, even without a restart, makes another member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId {
    /// The running node.
    pub incarnation: Incarnation,
    /// How many groups that node had joined before, in this incarnation.
    pub join: u32,
}

/// A group. It follows from its name and its order ([`GroupId::of`]), so that those who create the same one on two sides
/// that know nothing of each other are in one group as soon as they meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The group of this name and order. (FNV-1a, then the finish of SplitMix so that every byte counts everywhere.)
    pub fn of(name: GroupName, order: OrderKind) -> GroupId {
        let bytes = name.as_str().bytes().chain([b' ']).chain(order.as_str().bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        GroupId(hash ^ (hash >> 31))
    }
}

/// A view, and the attempt that installed it: the same identity. Views of one member rise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ViewId {
    /// Exceeds every number that its coordinator had seen; the first view of a group has 1.
    pub number: u64,
    /// Who led the attempt.
    pub coordinator: MemberId,
}

/// A message, unique for ever and the same at every member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// Who sent it.
    pub sender: MemberId,
    /// The how-manieth of its sender in the group, from 1.
    pub count: u64,
}

/// A member's place in its view's list, from 0.
pub type Rank = usize;

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.join)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.number, self.coordinator)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.sender, self.count)
    }
}

macro_rules! debug_as_display {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(Identity, Incarnation, MemberId, GroupId, ViewId, MessageId);

/// Why a text is no message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a message id looks like 0123456789abcdef.0-1")]
pub struct BadMessageId;

impl FromStr for MessageId {
    type Err = BadMessageId;

    fn from_str(text: &str) -> Result<MessageId, BadMessageId> {
        let parse = || {
            let (sender, count) = text.split_once('-')?;
            let (incarnation, join) = sender.split_once('.')?;
            let incarnation = Incarnation(u64::from_str_radix(incarnation, 16).ok()?);
            let sender = MemberId { incarnation, join: join.parse().ok()? };
            Some(MessageId { sender, count: count.parse().ok()? })
        };
        parse().ok_or(BadMessageId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "ann.b_c-9", &"x".repeat(NAME_MAX)] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "é", &"x".repeat(NAME_MAX + 1)] {
            assert_eq!(bad.parse::<UserName>(), Err(BadName));
        }
    }

    #[test]
    fn a_group_is_the_same_wherever_it_is_created_and_another_one_with_another_order() {
        let of = |name: &str, order| GroupId::of(name.parse().unwrap(), order);
        assert_eq!(of("lobby", OrderKind::Causal), GroupId(0xc775_5d86_2a92_c71e));
        let all = ["lobby", "lobbz", "lobby.total"].map(|name| of(name, OrderKind::Causal));
        let others = ["lobby", "lobbz", "lobby.total"].map(|name| of(name, OrderKind::Total));
        let distinct: std::collections::BTreeSet<_> = all.into_iter().chain(others).collect();
        assert_eq!(distinct.len(), 6);
    }

    #[test]
    fn a_message_id_survives_its_text() {
        let sender = MemberId { incarnation: Incarnation(0xab), join: 3 };
        let id = MessageId { sender, count: 17 };
        assert_eq!(id.to_string(), "00000000000000ab.3-17");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("ab-1".parse::<MessageId>(), Err(BadMessageId));
    }
}
