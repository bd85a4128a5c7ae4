//! Events to JSON, one object a line: the front end for programs.
//!
//! Every object has `event` and `at` (Unix microseconds); an answer has `re`, the number of the line it answers.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::SocketAddr;

use decury_common::base::id::{GroupName, MessageId, UserName};
use decury_common::endpoint::{Cause, Held, Reached, VectorClock, ViewInfo};
use decury_common::wire::figures::Readable;
use serde::{Serialize, Serializer};

use super::FrontEnd;
use crate::session::record::Past;
use crate::session::{Event, GroupSummary, MemberSummary, Spec, Talk};

/// The front end for programs.
#[derive(Debug)]
pub struct JsonMode<W>(W);

impl<W: Write> JsonMode<W> {
    /// Objects go to `out`.
    pub fn new(out: W) -> JsonMode<W> {
        JsonMode(out)
    }
}

impl<W: Write> FrontEnd for JsonMode<W> {
    fn show(&mut self, at: u64, event: &Event) -> io::Result<()> {
        let (event, re, fields) = fields(event);
        serde_json::to_writer(&mut self.0, &Object { event, at, re, fields })?;
        self.0.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[derive(Serialize)]
struct Object<'a> {
    event: &'static str,
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    re: Option<u64>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

/// The fields of each event, beside those that all have.
#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    Ready {
        user: UserName,
        udp: SocketAddr,
        tracker: Option<SocketAddr>,
        fingerprint: String,
    },
    Joined {
        group: GroupName,
        order: &'static str,
        view: String,
        members: Vec<UserName>,
    },
    View {
        group: GroupName,
        view: String,
        members: Vec<UserName>,
        joined: &'a [UserName],
        left: &'a [UserName],
        cause: &'static str,
    },
    Left {
        group: GroupName,
    },
    Current {
        group: Option<GroupName>,
    },
    Sent {
        group: GroupName,
        #[serde(serialize_with = "display")]
        id: MessageId,
    },
    SentTo {
        to: UserName,
        #[serde(serialize_with = "display")]
        id: MessageId,
    },
    Private {
        from: UserName,
        to: UserName,
        #[serde(serialize_with = "display")]
        id: MessageId,
        text: Cow<'a, str>,
        stored: bool,
    },
    Receipt {
        #[serde(serialize_with = "display")]
        id: MessageId,
        state: &'static str,
        by: UserName,
    },
    Message {
        group: GroupName,
        from: UserName,
        #[serde(serialize_with = "display")]
        id: MessageId,
        text: Cow<'a, str>,
        order: &'static str,
        seq: u64,
        #[serde(serialize_with = "as_map", skip_serializing_if = "VectorClock::is_empty")]
        clock: &'a VectorClock,
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        uniform: Option<bool>,
        caught_up: bool,
    },
    Groups {
        groups: Vec<Group>,
    },
    Users {
        users: Vec<User>,
    },
    Members {
        group: GroupName,
        members: Vec<Member>,
    },
    Held {
        group: GroupName,
        waiting: Vec<Waiting>,
    },
    History {
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        #[serde(skip_serializing_if = "Option::is_none")]
        with: Option<UserName>,
        messages: Vec<Remembered<'a>>,
    },
    Figures(Readable<'a>),
    Fault {
        rules: Vec<String>,
    },
    Help {
        command: Option<&'static str>,
        text: &'a str,
    },
    Notice {
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserName>,
        text: String,
    },
    Error {
        code: &'static str,
        #[serde(serialize_with = "display_some", skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        text: &'a str,
    },
}

#[derive(Serialize)]
struct Group {
    name: GroupName,
    order: &'static str,
    members: usize,
    limit: usize,
}

#[derive(Serialize)]
struct User {
    name: UserName,
    online: bool,
}

#[derive(Serialize)]
struct Member {
    name: UserName,
    reached: Cow<'static, str>,
    rtt_us: Option<u128>,
}

#[derive(Serialize)]
struct Waiting {
    #[serde(serialize_with = "display")]
    id: MessageId,
    from: UserName,
    #[serde(rename = "for")]
    waits_for: String,
}

#[derive(Serialize)]
struct Remembered<'a> {
    #[serde(serialize_with = "display")]
    id: MessageId,
    from: UserName,
    text: Cow<'a, str>,
    at: u64,
    caught_up: bool,
}

fn display<S: Serializer>(value: &MessageId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn display_some<S: Serializer>(value: &Option<MessageId>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|id| id.to_string()).serialize(serializer)
}

fn as_map<S: Serializer>(clock: &VectorClock, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(clock.iter())
}

/// An event's name, the line it answers, and its own fields.
fn fields(event: &Event) -> (&'static str, Option<u64>, Fields<'_>) {
    match event {
        Event::Ready { user, udp, tracker, identity } => {
            let fingerprint = identity.to_string();
            ("ready", None, Fields::Ready { user: *user, udp: *udp, tracker: *tracker, fingerprint })
        }
        Event::Joined { re, group, view, current: _ } => ("joined", *re, joined(*group, view)),
        Event::View { group, view, joined, left, cause } => {
            ("view", None, changed(*group, view, joined, left, *cause))
        }
        Event::Left { re, group } => ("left", *re, Fields::Left { group: *group }),
        Event::Current { re, group } => ("current", *re, Fields::Current { group: *group }),
        Event::Sent { re, group, id } => ("sent", *re, Fields::Sent { group: *group, id: *id }),
        Event::PrivateSent { re, to, id } => ("sent", *re, Fields::SentTo { to: *to, id: *id }),
        Event::Private { from, to, id, text } => {
            let (from, to, id, text) = (*from, *to, *id, text.safe());
            ("private", None, Fields::Private { from, to, id, text, stored: false })
        }
        Event::Receipt { id, by } => {
            ("receipt", None, Fields::Receipt { id: *id, state: "delivered", by: *by })
        }
        Event::Message { group, order, from, id, clock, position, uniform, caught_up, text, .. } => {
            let (order, text, seq) = (order.as_str(), text.safe(), id.count);
            let (group, from, id, position) = (*group, *from, *id, *position);
            let (uniform, caught_up) = (*uniform, *caught_up);
            let said =
                Fields::Message { group, from, id, text, order, seq, clock, position, uniform, caught_up };
            ("message", None, said)
        }
        Event::Groups { re, groups } => {
            ("groups", *re, Fields::Groups { groups: groups.iter().map(group).collect() })
        }
        Event::Users { re, users } => {
            let users = users.iter().map(|&(name, online)| User { name, online }).collect();
            ("users", *re, Fields::Users { users })
        }
        Event::Members { re, group, members } => {
            let members = members.iter().map(member).collect();
            ("members", *re, Fields::Members { group: *group, members })
        }
        Event::Held { re, group, waiting } => {
            let waiting = waiting.iter().map(self::waiting).collect();
            ("held", *re, Fields::Held { group: *group, waiting })
        }
        Event::History { re, talk, messages } => {
            let (group, with) = match *talk {
                Talk::Group(group) => (Some(group), None),
                Talk::Person(person) => (None, Some(person)),
            };
            let messages = messages.iter().map(remembered).collect();
            ("history", *re, Fields::History { group, with, messages })
        }
        Event::Faults { re, rules } => {
            ("fault", *re, Fields::Fault { rules: rules.iter().map(Spec::to_string).collect() })
        }
        Event::Help { re, topic, text } => ("help", *re, Fields::Help { command: *topic, text }),
        Event::Notice { re, notice } => {
            let (kind, group, user) = (notice.kind(), notice.group(), notice.user());
            ("notice", *re, Fields::Notice { kind, group, user, text: notice.to_string() })
        }
        Event::Error { re, code, id, text } => {
            ("error", *re, Fields::Error { code: code.as_str(), id: *id, text })
        }
        Event::Refused { code, text } => {
            ("error", None, Fields::Error { code: code.as_str(), id: None, text })
        }
        Event::Figures { re, figures } => ("stats", *re, Fields::Figures((&**figures).into())),
        Event::Bye { figures } => ("bye", None, Fields::Figures((&**figures).into())),
    }
}

fn joined(group: GroupName, view: &ViewInfo) -> Fields<'_> {
    Fields::Joined { group, order: view.order.as_str(), view: view.id.to_string(), members: names(view) }
}

fn changed<'a>(
    group: GroupName,
    view: &ViewInfo,
    joined: &'a [UserName],
    left: &'a [UserName],
    cause: Cause,
) -> Fields<'a> {
    let cause = match cause {
        Cause::Merge => "merge",
        Cause::Suspected => "suspected",
        Cause::Leave => "leave",
        Cause::Join => "join",
    };
    Fields::View { group, view: view.id.to_string(), members: names(view), joined, left, cause }
}

fn names(view: &ViewInfo) -> Vec<UserName> {
    view.members.iter().map(|&(_, name)| name).collect()
}

fn waiting(held: &Held) -> Waiting {
    Waiting { id: held.id, from: held.from, waits_for: held.waits_for.to_string() }
}

fn remembered(past: &Past) -> Remembered<'_> {
    let &Past { id, from, at, caught_up, ref text } = past;
    Remembered { id, from, text: text.safe(), at, caught_up }
}

fn group(group: &GroupSummary) -> Group {
    let &GroupSummary { name, order, members, limit } = group;
    Group { name, order: order.as_str(), members, limit }
}

fn member(member: &MemberSummary) -> Member {
    let reached = match member.reached {
        Reached::Me => Cow::Borrowed("self"),
        Reached::Direct => Cow::Borrowed("direct"),
        Reached::Via(relay) => Cow::Owned(format!("via {relay}")),
        Reached::No => Cow::Borrowed("no"),
    };
    Member { name: member.name, reached, rtt_us: member.rtt.map(|rtt| rtt.as_micros()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use decury_common::base::id::{Identity, Incarnation, MemberId, ViewId};
    use decury_common::endpoint::{Number, WaitsFor};
    use decury_common::order::OrderKind;
    use decury_common::wire::figures::{Figures, Percentiles, Tally};

    use super::*;
    use crate::session::{ErrorCode, Notice, Text};

    const ANN: MemberId = MemberId { incarnation: Incarnation(0xa), join: 0 };

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn view() -> ViewInfo {
        let bob = MemberId { incarnation: Incarnation(0xb), join: 1 };
        let id = ViewId { number: 2, coordinator: ANN };
        ViewInfo { id, order: OrderKind::Causal, members: vec![(ANN, name("ann")), (bob, name("bob"))] }
    }

    fn line(event: &Event) -> String {
        let mut out = Vec::new();
        JsonMode::new(&mut out).show(7, event).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn views_have_their_names_and_causes() {
        let (group, view) = (name("lobby"), view());
        let joined = Event::Joined { re: Some(3), group, view: view.clone(), current: true };
        assert_eq!(
            line(&joined),
            r#"{"event":"joined","at":7,"re":3,"group":"lobby","order":"causal","#.to_owned()
                + r#""view":"2@000000000000000a.0","members":["ann","bob"]}"#
                + "\n"
        );
        let (joined, left) = (vec![name("bob")], vec![name("cid")]);
        assert_eq!(
            line(&Event::View { group, view, joined, left, cause: Cause::Suspected }),
            r#"{"event":"view","at":7,"group":"lobby","view":"2@000000000000000a.0","#.to_owned()
                + r#""members":["ann","bob"],"joined":["bob"],"left":["cid"],"cause":"suspected"}"#
                + "\n"
        );
    }

    #[test]
    fn a_message_says_who_what_and_how_it_is_ordered() {
        let said = |order, entries: &[(&str, u64)], position, uniform| {
            line(&Event::Message {
                group: name("lobby"),
                order,
                from: name("ann"),
                id: MessageId { sender: ANN, count: 5 },
                clock: entries.iter().map(|&(member, count)| (name(member), count)).collect(),
                position,
                uniform,
                placed: None,
                caught_up: false,
                text: Text::new(Bytes::from_static("gr\u{fc}\"\u{1b}".as_bytes())),
            })
        };
        assert_eq!(
            said(OrderKind::Causal, &[("ann", 5), ("bob", 2)], None, None),
            r#"{"event":"message","at":7,"group":"lobby","from":"ann","id":"000000000000000a.0-5","#
                .to_owned()
                + "\"text\":\"gr\u{fc}\\\"\u{fffd}\","
                + r#""order":"causal","seq":5,"clock":{"ann":5,"bob":2},"caught_up":false}"#
                + "\n"
        );
        let fifo = said(OrderKind::Fifo, &[], None, None);
        assert!(!fifo.contains("clock") && !fifo.contains("position") && !fifo.contains("uniform"));
        let total = said(OrderKind::Total, &[("ann", 5)], Some(9), None);
        assert!(total.contains(r#""clock":{"ann":5},"position":9,"caught_up":false"#));
        let safe = said(OrderKind::Safe, &[("ann", 5)], Some(9), Some(false));
        assert!(safe.contains(r#""order":"safe","seq":5,"clock":{"ann":5},"position":9,"uniform":false,"#));
    }

    #[test]
    fn a_private_message_is_sent_received_and_confirmed_or_lost_under_one_identity() {
        let id = MessageId { sender: ANN, count: 5 };
        let said = Text::new(Bytes::from_static(b"a \"b\""));
        for (event, fields) in [
            (
                Event::PrivateSent { re: Some(7), to: name("bob"), id },
                r#""sent","at":7,"re":7,"to":"bob","id":"000000000000000a.0-5""#,
            ),
            (
                Event::Private { from: name("bob"), to: name("ann"), id, text: said },
                r#""private","at":7,"from":"bob","to":"ann","id":"000000000000000a.0-5","text":"a \"b\"","stored":false"#,
            ),
            (
                Event::Receipt { id, by: name("bob") },
                r#""receipt","at":7,"id":"000000000000000a.0-5","state":"delivered","by":"bob""#,
            ),
            (
                Event::Error { re: Some(7), code: ErrorCode::NotHere, id: Some(id), text: "?".into() },
                r#""error","at":7,"re":7,"code":"not_here","id":"000000000000000a.0-5","text":"?""#,
            ),
        ] {
            assert_eq!(line(&event), format!("{{\"event\":{fields}}}\n"));
        }
    }

    #[test]
    fn figures_are_the_same_when_asked_for_and_at_the_end() {
        let latency = Some(Percentiles { p50_us: 310, p99_us: 1_250, clock_error_us: 40 });
        let all = Tally { sent: 2, received: 3, spanned_us: 4_000_000, retransmitted: 1, latency };
        let groups = std::iter::once((name("lobby"), all)).collect();
        let figures = Figures { ran_us: 5_000_000, datagrams: 9, all, private: Tally::default(), groups };
        let tally = r#""sent":2,"received":3,"total":5,"messages_per_s":0.5,"#.to_owned()
            + r#""latency_us":{"p50":310,"p99":1250,"clock_error_us":40},"retransmitted":1"#;
        let none = r#""sent":0,"received":0,"total":0,"messages_per_s":0.0,"#.to_owned()
            + r#""latency_us":{"p50":null,"p99":null,"clock_error_us":null},"retransmitted":0"#;
        let rest = format!(
            r#""at":7,{{re}}{tally},"datagrams":9,"ran_us":5000000,"per_group":{{"lobby":{{{tally}}}}},"private":{{{none}}}"#
        );
        let figures = Box::new(figures);
        let asked = line(&Event::Figures { re: Some(4), figures: figures.clone() });
        assert_eq!(asked, format!("{{\"event\":\"stats\",{}}}\n", rest.replace("{re}", r#""re":4,"#)));
        let last = line(&Event::Bye { figures });
        assert_eq!(last, format!("{{\"event\":\"bye\",{}}}\n", rest.replace("{re}", "")));
    }

    #[test]
    fn every_other_event_has_exactly_its_fields() {
        let group = name("lobby");
        let id = MessageId { sender: ANN, count: 5 };
        let (udp, tracker) = (name("10.0.0.1:5000"), name("127.0.0.1:7400"));
        let summary = GroupSummary { name: group, order: OrderKind::Fifo, members: 2, limit: 10 };
        let reached = |name, reached, rtt| MemberSummary { name, reached, rtt };
        let members = vec![
            reached(name("ann"), Reached::Me, None),
            reached(name("bob"), Reached::Direct, Some(Duration::from_micros(120))),
            reached(name("cid"), Reached::No, None),
            reached(name("dan"), Reached::Via(name("bob")), Some(Duration::from_micros(250))),
        ];
        let ready = |tracker| Event::Ready { user: name("ann"), udp, tracker, identity: Identity(0xa) };
        let rest = r#""members":[{"name":"ann","reached":"self","rtt_us":null},"#.to_owned()
            + r#"{"name":"bob","reached":"direct","rtt_us":120},{"name":"cid","reached":"no","rtt_us":null},"#
            + r#"{"name":"dan","reached":"via bob","rtt_us":250}]"#;
        for (event, fields) in [
            (
                ready(Some(tracker)),
                r#""ready","at":7,"user":"ann","udp":"10.0.0.1:5000","tracker":"127.0.0.1:7400","fingerprint":"000000000000000a""#,
            ),
            (
                ready(None),
                r#""ready","at":7,"user":"ann","udp":"10.0.0.1:5000","tracker":null,"fingerprint":"000000000000000a""#,
            ),
            (Event::Left { re: Some(4), group }, r#""left","at":7,"re":4,"group":"lobby""#),
            (Event::Current { re: None, group: None }, r#""current","at":7,"group":null"#),
            (
                Event::Sent { re: Some(1), group, id },
                r#""sent","at":7,"re":1,"group":"lobby","id":"000000000000000a.0-5""#,
            ),
            (
                Event::Groups { re: Some(1), groups: vec![summary] },
                r#""groups","at":7,"re":1,"groups":[{"name":"lobby","order":"fifo","members":2,"limit":10}]"#,
            ),
            (
                Event::Members { re: Some(2), group, members },
                &format!(r#""members","at":7,"re":2,"group":"lobby",{rest}"#),
            ),
        ] {
            assert_eq!(line(&event), format!("{{\"event\":{fields}}}\n"));
        }
    }

    #[test]
    fn answers_have_exactly_their_fields() {
        let group = name("lobby");
        let id = MessageId { sender: ANN, count: 5 };
        let waits_for = WaitsFor::Message(name("bob"), Number::Count(7));
        let waits = Held { id, from: name("ann"), waits_for };
        let code = ErrorCode::NoSuchGroup;
        for (event, fields) in [
            (
                Event::Held { re: Some(3), group, waiting: vec![waits] },
                r#""held","at":7,"re":3,"group":"lobby","waiting":[{"id":"000000000000000a.0-5","from":"ann","for":"bob-7"}]"#,
            ),
            (
                Event::Faults { re: Some(5), rules: vec![name("from=bob,delay=5s"), name("cut")] },
                r#""fault","at":7,"re":5,"rules":["from=bob,delay=5s","cut"]"#,
            ),
            (Event::Faults { re: Some(6), rules: vec![] }, r#""fault","at":7,"re":6,"rules":[]"#),
            (
                Event::Help { re: Some(9), topic: Some("j"), text: "x".into() },
                r#""help","at":7,"re":9,"command":"j","text":"x""#,
            ),
            (
                Event::Error { re: Some(6), code, id: None, text: "?".into() },
                r#""error","at":7,"re":6,"code":"no_such_group","text":"?""#,
            ),
        ] {
            assert_eq!(line(&event), format!("{{\"event\":{fields}}}\n"));
        }
    }

    #[test]
    fn notices_and_the_last_word_have_exactly_their_fields() {
        let group = name("lobby");
        let notice = Notice::PeerBack { group, user: name("bob") };
        for (event, fields) in [
            (
                Event::Notice { re: None, notice },
                r#""notice","at":7,"kind":"peer_back","group":"lobby","user":"bob","text":"bob is heard again in #lobby""#,
            ),
            (
                Event::Notice { re: None, notice: Notice::WaitingFor { group, user: name("bob") } },
                r##""notice","at":7,"kind":"waiting_for","group":"lobby","user":"bob","text":"#lobby waits for bob: it goes on when they answer, or without them""##,
            ),
            (
                Event::Notice { re: None, notice: Notice::HistoryGap { group } },
                r##""notice","at":7,"kind":"history_gap","group":"lobby","text":"some of what was said in #lobby without you is out of reach""##,
            ),
            (
                Event::Notice { re: None, notice: Notice::MergeRefused { group } },
                r##""notice","at":7,"kind":"merge_refused","group":"lobby","text":"#lobby is full without you: you can talk on among yourselves, and come in when there is room""##,
            ),
        ] {
            assert_eq!(line(&event), format!("{{\"event\":{fields}}}\n"));
        }
    }
}
