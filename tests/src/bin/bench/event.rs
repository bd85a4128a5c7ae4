//! The lines that a node prints, as far as a run looks at them.

use std::borrow::Cow;
use std::fmt;

use decury_common::base::limits::MEMBERS_MAX;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Any line: each event has some of these fields.
#[derive(Debug, Deserialize)]
pub(crate) struct Line<'a> {
    #[serde(borrow)]
    pub(crate) event: Cow<'a, str>,
    /// `joined`, `view`.
    #[serde(default)]
    pub(crate) members: Vec<IgnoredAny>,
    /// `message`.
    pub(crate) from: Option<Member>,
    #[serde(default)]
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) clock: Clock,
    pub(crate) position: Option<u64>,
    #[serde(default)]
    pub(crate) caught_up: bool,
    /// `message`, `error`, `notice`.
    #[serde(borrow, default)]
    pub(crate) text: Cow<'a, str>,
    /// `bye`.
    #[serde(default)]
    pub(crate) sent: u64,
    #[serde(default)]
    pub(crate) received: u64,
    #[serde(default)]
    pub(crate) datagrams: u64,
    #[serde(default)]
    pub(crate) retransmitted: u64,
}

/// A member, by its number in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member(pub(crate) usize);

/// How many messages of whom the sender had delivered, by member.
pub(crate) type Counts = [u64; MEMBERS_MAX];

/// The same, as it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock(pub(crate) Counts);

impl Member {
    /// Whose name that is.
    pub(crate) fn named(name: &str) -> Option<Member> {
        let number = name.strip_prefix('m')?.parse().ok();
        number.filter(|&number| number < MEMBERS_MAX).map(Member)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Member, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name from m0 to m9")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Member, E> {
                Member::named(name).ok_or_else(|| E::custom(format_args!("{name:?} is none of the members")))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Clock, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Clock;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("counts by member")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Clock, A::Error> {
                let mut clock = Clock::default();
                while let Some((Member(member), count)) = map.next_entry()? {
                    clock.0[member] = count;
                }
                Ok(clock)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read() {
        let line = r#"{"event":"message","at":7,"group":"bench","from":"m2","id":"0a.0-5","text":"5 xx","#
            .to_owned()
            + r#""order":"total","seq":5,"clock":{"m0":1,"m2":5},"position":9,"caught_up":false}"#;
        let line: Line<'_> = serde_json::from_str(&line).unwrap();
        assert_eq!((&*line.event, line.from, line.seq, &*line.text), ("message", Some(Member(2)), 5, "5 xx"));
        assert_eq!((&line.clock.0[..4], line.position, line.caught_up), (&[1, 0, 5, 0][..], Some(9), false));
        assert!(matches!(line.text, Cow::Borrowed(_)));
    }

    #[test]
    fn a_stranger_is_no_member() {
        for line in
            [r#"{"event":"message","from":"ann"}"#, r#"{"event":"message","from":"m0","clock":{"m10":1}}"#]
        {
            assert!(serde_json::from_str::<Line<'_>>(line).is_err(), "{line}");
        }
    }
}
