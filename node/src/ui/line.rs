//! Events as lines for people: messages on one stream (stdout), everything else on another (stderr).

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use decury_common::base::id::{GroupName, UserName};
use decury_common::endpoint::{Cause, Held, Number, Reached, WaitsFor};

use super::model::SharedModel;
use super::{FrontEnd, colour, figures};
use crate::session::record::Past;
use crate::session::{Event, GroupSummary, MemberSummary, Spec, Talk};

/// The front end for people at a plain terminal, and for pipes.
#[derive(Debug)]
pub struct LineMode<M, T> {
    messages: M,
    told: T,
    settings: Settings,
    model: Arc<SharedModel>,
}

/// What line mode must know beforehand.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A person types at it: what they typed is on their screen already, and they know which line an error is about.
    pub interactive: bool,
    /// Messages may have colours.
    pub colours: bool,
    /// The trackers that are tried, to be named when none answers. None at all: peers alone find each other.
    pub trackers: Vec<SocketAddr>,
    /// Whether the start has named peers, or looks for them in the local network.
    pub seeks_peers: bool,
    /// A time (microseconds since 1970) as it is shown.
    pub time: fn(u64) -> String,
}

impl<M: Write, T: Write> LineMode<M, T> {
    /// Messages go to `messages`, everything else to `told`. The model is kept here, for others to look at.
    pub fn new(messages: M, told: T, settings: Settings, model: Arc<SharedModel>) -> LineMode<M, T> {
        LineMode { messages, told, settings, model }
    }

    fn me(&self) -> Option<UserName> {
        self.model.read(|model| model.me())
    }

    fn here(&self, group: GroupName) -> usize {
        self.model.read(|model| model.group(group).map_or(0, |group| group.members.len()))
    }

    /// A name before what its owner says.
    fn speaker(&self, name: UserName) -> String {
        if self.settings.colours { colour::of(name) } else { name.to_string() }
    }

    fn talking_to(&self, group: GroupName) -> String {
        format!("you are talking to #{group} ({} here) - !help", self.here(group))
    }

    /// What is told about an event, beside messages.
    fn words(&self, event: &Event) -> Option<String> {
        let number = |re: &Option<u64>| match re {
            Some(re) if !self.settings.interactive => format!("line {re}: "),
            _ => String::new(),
        };
        match event {
            Event::Ready { user, udp, tracker: Some(tracker), .. } => {
                Some(format!("you are {user}, at {udp}, signed in at {tracker}"))
            }
            Event::Ready { user, udp, tracker: None, .. } if self.settings.trackers.is_empty() => {
                let hint = match self.settings.seeks_peers {
                    true => "no tracker: peers find each other",
                    false => "no tracker, no peers yet: !peer ADDR, or start with --discover",
                };
                Some(format!("you are {user}, at {udp}; {hint}"))
            }
            Event::Ready { user, udp, tracker: None, .. } => Some(format!(
                "you are {user}, at {udp}; no tracker answers at {}: still trying\n\
                 (start one with `tracker`, or one inside this program with `node --host`)",
                listed(&self.settings.trackers)
            )),
            Event::Joined { group, current: true, .. } | Event::Current { group: Some(group), .. } => {
                Some(self.talking_to(*group))
            }
            Event::Joined { group, .. } => Some(format!("you are in #{group} ({} here)", self.here(*group))),
            Event::View { group, joined, left, cause, .. } => {
                Some(self.changes(*group, joined, left, *cause))
            }
            Event::Left { group, .. } => Some(format!("you have left #{group}")),
            Event::Current { group: None, .. } => {
                Some("there is no current group now: !j GROUP or !w GROUP".to_owned())
            }
            Event::Groups { groups, .. } => Some(groups_listed(groups)),
            Event::Users { users, .. } => Some(people_listed(users)),
            Event::Members { group, members, .. } => Some(members_listed(*group, members)),
            Event::Held { group, waiting, .. } => Some(held_listed(*group, waiting)),
            Event::History { talk, .. } => {
                Some(format!("{}: nothing is kept of what was said", place(*talk)))
            }
            Event::Figures { figures, .. } => Some(figures::table(figures)),
            Event::Faults { rules, .. } => Some(faults_listed(rules)),
            Event::Help { text, .. } => Some(text.clone()),
            Event::Notice { notice, .. } => Some(notice.to_string()),
            Event::Error { re, text, .. } => Some(number(re) + text),
            Event::Bye { figures } => self.me().map(|_| figures::farewell(figures)),
            // A refusal ends the program, which says so itself.
            Event::Refused { .. } => None,
            Event::Sent { .. } | Event::PrivateSent { .. } | Event::Receipt { .. } => None,
            Event::Message { .. } | Event::Private { .. } => None,
        }
    }

    /// What was said, a message a line.
    fn history(&self, talk: Talk, messages: &[Past]) -> Option<String> {
        let line = |past: &Past| {
            let (time, mark) =
                ((self.settings.time)(past.at), if past.caught_up { " (earlier)" } else { "" });
            format!("{time} {}{mark} {}: {}", place(talk), self.speaker(past.from), past.text.safe())
        };
        let lines: Vec<String> = messages.iter().map(line).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// A message that is to be shown. What its author has just typed is on the screen already.
    fn message(&self, event: &Event) -> Option<String> {
        match event {
            Event::Message { group, from, text, caught_up: true, .. } => {
                Some(format!("#{group} (earlier) {}: {}", self.speaker(*from), text.safe()))
            }
            Event::Message { group, from, text, uniform: Some(false), .. } => {
                Some(format!("#{group} (others may lack this) {}: {}", self.speaker(*from), text.safe()))
            }
            Event::Message { group, from, text, .. } => {
                let typed_here = self.settings.interactive && self.me() == Some(*from);
                (!typed_here).then(|| format!("#{group} {}: {}", self.speaker(*from), text.safe()))
            }
            Event::Private { from, text, .. } => {
                Some(format!("[private] {}: {}", self.speaker(*from), text.safe()))
            }
            Event::History { talk, messages, .. } => self.history(*talk, messages),
            _ => None,
        }
    }

    fn changes(&self, group: GroupName, joined: &[UserName], left: &[UserName], cause: Cause) -> String {
        let came = if cause == Cause::Merge { "back in" } else { "now in" };
        let went = if cause <= Cause::Suspected { "cut off from" } else { "gone from" };
        let mut parts = Vec::new();
        if !joined.is_empty() {
            parts.push(format!("{} {came} #{group}", listed(joined)));
        }
        if !left.is_empty() {
            parts.push(format!("{} {went} #{group}", listed(left)));
        }
        if parts.is_empty() {
            parts.push(format!("#{group} has a new view"));
        }
        format!("{} ({} here)", parts.join(", "), self.here(group))
    }
}

impl<M: Write, T: Write> FrontEnd for LineMode<M, T> {
    fn show(&mut self, _at: u64, event: &Event) -> io::Result<()> {
        self.model.apply(event);
        if let Some(message) = self.message(event) {
            return writeln!(self.messages, "{message}");
        }
        if let Some(words) = self.words(event) {
            // What was said before stands before. Whether anybody reads the rest is no reason to end.
            self.messages.flush()?;
            _ = self.told.write_all(format!("{words}\n").as_bytes());
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        _ = self.told.flush();
        self.messages.flush()
    }
}

fn place(talk: Talk) -> String {
    match talk {
        Talk::Group(group) => format!("#{group}"),
        Talk::Person(person) => format!("[private with {person}]"),
    }
}

fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn people_listed(users: &[(UserName, bool)]) -> String {
    if users.is_empty() {
        return "nobody is known whose name fits".to_owned();
    }
    let line = |&(name, online): &(UserName, bool)| match online {
        true => name.to_string(),
        false => format!("{name} (away)"),
    };
    format!("people:\n  {}", users.iter().map(line).collect::<Vec<_>>().join("\n  "))
}

fn groups_listed(groups: &[GroupSummary]) -> String {
    if groups.is_empty() {
        return "there is no group yet: !j lobby makes one".to_owned();
    }
    let line = |group: &GroupSummary| {
        let GroupSummary { name, order, members, limit } = group;
        format!("#{name} ({order}, {members} of {limit})")
    };
    let lines: Vec<String> = groups.iter().map(line).collect();
    format!("groups (!j GROUP joins one):\n  {}", lines.join("\n  "))
}

fn members_listed(group: GroupName, members: &[MemberSummary]) -> String {
    // Of a group that one is not in, many are not in touch, and need not be.
    let outside = members.iter().all(|member| member.reached != Reached::Me);
    let line = |member: &MemberSummary| {
        let how = match member.reached {
            Reached::Me => return format!("{} (you)", member.name),
            Reached::No if outside => return member.name.to_string(),
            Reached::No => return format!("{} (not reached)", member.name),
            Reached::Direct => "direct".to_owned(),
            Reached::Via(relay) => format!("via {relay}"),
        };
        match member.rtt {
            Some(rtt) => format!("{} ({how}, {:.1} ms)", member.name, rtt.as_secs_f64() * 1000.0),
            None => format!("{} ({how})", member.name),
        }
    };
    if members.is_empty() {
        return format!("nobody is in #{group}");
    }
    let lines: Vec<String> = members.iter().map(line).collect();
    format!("in #{group}:\n  {}", lines.join("\n  "))
}

/// Those of one sender that wait for the same make one line.
fn held_listed(group: GroupName, waiting: &[Held]) -> String {
    if waiting.is_empty() {
        return format!("nothing is held in #{group}");
    }
    let runs = waiting.chunk_by(|a, b| (a.id.sender, a.waits_for) == (b.id.sender, b.waits_for));
    let lines: Vec<String> = runs.map(held_in_words).collect();
    lines.join("\n")
}

fn held_in_words(run: &[Held]) -> String {
    let Some(first) = run.first() else { return String::new() };
    let (who, needs, waits) = match run.len() {
        1 => (format!("1 message from {} is held: it", first.from), "needs", "waits"),
        n => (format!("{n} messages from {} are held: they", first.from), "need", "wait"),
    };
    match first.waits_for {
        WaitsFor::Message(of, Number::Count(count)) => format!("{who} {needs} {of}'s message {count}"),
        waits_for @ WaitsFor::Message(_, Number::InView(_)) => format!("{who} {needs} {waits_for}"),
        waits_for => format!("{who} {waits} for {waits_for}"),
    }
}

fn faults_listed(rules: &[Spec]) -> String {
    if rules.is_empty() {
        return "no faults are in force".to_owned();
    }
    let lines: Vec<String> = rules.iter().map(Spec::words).collect();
    format!("faults in force, on what arrives (!fault clear ends them):\n  {}", lines.join("\n  "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use decury_common::base::id::{Identity, Incarnation, MemberId, MessageId, ViewId};
    use decury_common::endpoint::ViewInfo;
    use decury_common::order::OrderKind;

    use super::*;
    use crate::session::{ErrorCode, Notice, Text};

    const ANN: MemberId = MemberId { incarnation: Incarnation(0xa), join: 0 };

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn ready(tracker: Option<SocketAddr>) -> Event {
        Event::Ready { user: name("ann"), udp: name("10.0.0.1:5000"), tracker, identity: Identity(0xa) }
    }

    fn joined(members: &[&str], current: bool) -> Event {
        let members = members.iter().map(|member| (ANN, name(member))).collect();
        let id = ViewId { number: 2, coordinator: ANN };
        let view = ViewInfo { id, order: OrderKind::Causal, members };
        Event::Joined { re: Some(1), group: name("lobby"), view, current }
    }

    fn said(from: &str, text: &'static str) -> Event {
        let text = Text::new(Bytes::from_static(text.as_bytes()));
        let id = MessageId { sender: ANN, count: 1 };
        let (group, from) = (name("lobby"), name(from));
        Event::Message {
            group,
            order: OrderKind::Causal,
            from,
            id,
            clock: Default::default(),
            position: None,
            uniform: None,
            placed: None,
            caught_up: false,
            text,
        }
    }

    /// What is shown of `events`: messages, and the rest.
    fn shown(interactive: bool, events: &[Event]) -> (String, String) {
        shown_with(interactive, false, events)
    }

    fn shown_with(interactive: bool, colours: bool, events: &[Event]) -> (String, String) {
        let (time, trackers) = (|at: u64| format!("<{at}>"), vec![name("127.0.0.1:7400")]);
        let settings = Settings { interactive, colours, trackers, seeks_peers: false, time };
        let (mut messages, mut told) = (Vec::new(), Vec::new());
        let mut mode = LineMode::new(&mut messages, &mut told, settings, Arc::default());
        for event in events {
            mode.show(0, event).unwrap();
        }
        (String::from_utf8(messages).unwrap(), String::from_utf8(told).unwrap())
    }

    #[test]
    fn a_first_conversation_reads_well() {
        let events =
            [ready(Some(name("127.0.0.1:7400"))), joined(&["ann", "bob"], true), said("bob", "hello\x1b!")];
        let (messages, told) = shown(true, &events);
        assert_eq!(messages, "#lobby bob: hello\u{fffd}!\n");
        assert_eq!(
            told,
            "you are ann, at 10.0.0.1:5000, signed in at 127.0.0.1:7400\n\
             you are talking to #lobby (2 here) - !help\n"
        );
    }

    #[test]
    fn without_a_tracker_it_says_what_was_tried_and_what_to_do() {
        let (_, told) = shown(true, &[ready(None)]);
        for words in ["no tracker answers at 127.0.0.1:7400", "still trying", "node --host"] {
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn with_colours_a_speaker_has_one_and_what_is_said_has_none_of_its_own() {
        let events = [ready(None), said("bob", "\x1b[31mred"), said("bob", "again")];
        let (messages, _) = shown_with(true, true, &events);
        let bob = colour::of(name("bob"));
        assert_eq!(messages, format!("#lobby {bob}: \u{fffd}[31mred\n#lobby {bob}: again\n"));
        assert!(!shown(true, &events).0.contains('\x1b'));
    }

    #[test]
    fn own_messages_are_shown_unless_their_author_has_just_typed_them() {
        let events = [ready(None), said("ann", "mine")];
        assert_eq!(shown(false, &events).0, "#lobby ann: mine\n");
        assert_eq!(shown(true, &events).0, "");
    }

    #[test]
    fn what_was_said_earlier_is_marked_and_shown_whoever_said_it() {
        let earlier = |from| match said(from, "hello") {
            Event::Message { group, order, from, id, clock, position, uniform, placed, text, .. } => {
                let caught_up = true;
                Event::Message { group, order, from, id, clock, position, uniform, placed, caught_up, text }
            }
            other => other,
        };
        let events = [ready(None), earlier("bob"), earlier("ann"), said("bob", "and now")];
        assert_eq!(
            shown(true, &events).0,
            "#lobby (earlier) bob: hello\n#lobby (earlier) ann: hello\n#lobby bob: and now\n"
        );
    }

    #[test]
    fn what_others_may_have_elsewhere_or_not_at_all_is_marked() {
        let mut marked = said("bob", "last words");
        if let Event::Message { uniform, .. } = &mut marked {
            *uniform = Some(false);
        }
        let events = [ready(None), said("bob", "hello"), marked];
        assert_eq!(
            shown(true, &events).0,
            "#lobby bob: hello\n#lobby (others may lack this) bob: last words\n"
        );
    }

    #[test]
    fn what_was_said_is_told_with_its_time() {
        let past = |count, caught_up| Past {
            id: MessageId { sender: ANN, count },
            from: name("bob"),
            at: 7 + count,
            caught_up,
            text: Text::new(Bytes::from_static(b"hello\x1b")),
        };
        let messages = vec![past(1, true), past(2, false)];
        let events = [
            Event::History { re: None, talk: Talk::Group(name("lobby")), messages },
            Event::History { re: None, talk: Talk::Person(name("bob")), messages: vec![past(3, false)] },
            Event::History { re: None, talk: Talk::Group(name("lobby")), messages: vec![] },
        ];
        assert_eq!(
            shown(true, &events),
            (
                "<8> #lobby (earlier) bob: hello\u{fffd}\n<9> #lobby bob: hello\u{fffd}\n\
                 <10> [private with bob] bob: hello\u{fffd}\n"
                    .to_owned(),
                "#lobby: nothing is kept of what was said\n".to_owned()
            )
        );
    }

    #[test]
    fn a_private_message_is_told_from_a_groups_and_only_its_loss_is_told_to_its_sender() {
        let (bob, id) = (name("bob"), MessageId { sender: ANN, count: 1 });
        let text = Text::new(Bytes::from_static(b"psst\x1b"));
        let lost = "bob's node is gone; whether this reached it is not known".to_owned();
        let events = [
            Event::Private { from: bob, to: name("ann"), id, text },
            Event::PrivateSent { re: Some(3), to: bob, id },
            Event::Receipt { id, by: bob },
            Event::Error { re: Some(4), code: ErrorCode::NotHere, id: Some(id), text: lost.clone() },
        ];
        assert_eq!(
            shown(false, &events),
            ("[private] bob: psst\u{fffd}\n".to_owned(), format!("line 4: {lost}\n"))
        );
    }

    #[test]
    fn changes_of_a_view_are_told_in_words() {
        for (joined, left, cause, words) in [
            (&["cid"][..], &[][..], Cause::Join, "cid now in #lobby (2 here)\n"),
            (&[], &["bob", "cid"], Cause::Leave, "bob, cid gone from #lobby (2 here)\n"),
            (&[], &["bob"], Cause::Suspected, "bob cut off from #lobby (2 here)\n"),
            (&["bob"], &[], Cause::Merge, "bob back in #lobby (2 here)\n"),
            (&["cid"], &["bob"], Cause::Leave, "cid now in #lobby, bob gone from #lobby (2 here)\n"),
        ] {
            let Event::Joined { group, view, .. } = self::joined(&["ann", "bob"], true) else { panic!() };
            let names = |names: &[&str]| names.iter().map(|text| name(text)).collect();
            let view = Event::View { group, view, joined: names(joined), left: names(left), cause };
            assert_eq!(shown(true, &[view]).1, words);
        }
    }

    #[test]
    fn an_error_names_its_line_when_nobody_sits_there() {
        let error = Event::Error { re: Some(7), code: ErrorCode::BadCommand, id: None, text: "what?".into() };
        assert_eq!(shown(true, std::slice::from_ref(&error)).1, "what?\n");
        assert_eq!(shown(false, &[error]).1, "line 7: what?\n");
    }

    #[test]
    fn what_is_held_is_told_in_a_line_for_each_cause() {
        let (group, ann, bob) = (name("lobby"), name("ann"), name("bob"));
        let held = |count, waits_for| Held { id: MessageId { sender: ANN, count }, from: bob, waits_for };
        let question = WaitsFor::Message(ann, Number::Count(7));
        let early = WaitsFor::Message(ann, Number::InView(1));
        for (waiting, words) in [
            (vec![], "nothing is held in #lobby\n"),
            (vec![held(1, question)], "1 message from bob is held: it needs ann's message 7\n"),
            (
                vec![held(1, early), held(2, question), held(3, question)],
                "1 message from bob is held: it needs ann's message 1 in this view\n\
                 2 messages from bob are held: they need ann's message 7\n",
            ),
            (
                vec![held(1, WaitsFor::Proposal(ann))],
                "1 message from bob is held: it waits for ann's proposal\n",
            ),
            (
                vec![held(1, WaitsFor::View), held(2, WaitsFor::View)],
                "2 messages from bob are held: they wait for the change of view\n",
            ),
        ] {
            assert_eq!(shown(true, &[Event::Held { re: None, group, waiting }]).1, words);
        }
    }

    #[test]
    fn lists_and_notices_are_told_one_item_a_line() {
        let summary = GroupSummary { name: name("lobby"), order: OrderKind::Fifo, members: 2, limit: 10 };
        let member = |of, reached, rtt| MemberSummary { name: name(of), reached, rtt };
        let members = vec![
            member("ann", Reached::Me, None),
            member("bob", Reached::Direct, Some(Duration::from_micros(300))),
            member("cid", Reached::Via(name("bob")), Some(Duration::from_micros(1_240))),
            member("dan", Reached::Via(name("bob")), None),
            member("eve", Reached::No, None),
        ];
        let group = name("lobby");
        let events = [
            ready(Some(name("127.0.0.1:7400"))),
            Event::Groups { re: None, groups: vec![] },
            Event::Groups { re: None, groups: vec![summary] },
            Event::Members { re: None, group, members },
            Event::Members { re: None, group, members: vec![member("fay", Reached::No, None)] },
            Event::Members { re: None, group, members: vec![] },
            Event::Notice { re: None, notice: Notice::PeerBack { group, user: name("bob") } },
            Event::Faults { re: None, rules: vec![name("from=bob,delay=5s"), name("loss=0.1")] },
            Event::Faults { re: None, rules: vec![] },
            Event::Bye { figures: Box::default() },
        ];
        assert_eq!(
            shown(true, &events).1,
            "you are ann, at 10.0.0.1:5000, signed in at 127.0.0.1:7400\n\
             there is no group yet: !j lobby makes one\n\
             groups (!j GROUP joins one):\n  #lobby (fifo, 2 of 10)\n\
             in #lobby:\n  ann (you)\n  bob (direct, 0.3 ms)\n  cid (via bob, 1.2 ms)\n  dan (via bob)\n  \
             eve (not reached)\n\
             in #lobby:\n  fay\n\
             nobody is in #lobby\n\
             bob is heard again in #lobby\n\
             faults in force, on what arrives (!fault clear ends them):\n  \
             from bob: 5s later\n  from anybody: 10% lost\n\
             no faults are in force\n\
             bye: 0 sent, 0 received\n"
        );
    }
}
