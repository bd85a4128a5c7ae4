use decury_common::base::limits::CONTACTS_MAX;
use decury_common::base::list::List;
use decury_common::wire::tracker::Peer;

use super::*;

/// A directory.
#[derive(Default)]
struct World {
    directory: Directory,
}

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

fn group(name: &str) -> GroupName {
    name.parse().unwrap()
}

fn peers(names: &[(&str, u64)]) -> List<Peer, MEMBERS_MAX> {
    names.iter().map(|(name, node)| Peer { incarnation: Incarnation(*node), name: user(name) }).collect()
}

impl World {
    fn apply(&mut self, session: u64, action: Action) -> Outcome {
        self.directory.apply(Command { session: SessionId(session), action })
    }

    /// Signs the node `node` in on connection `session`; each is another person's.
    fn sign_in(&mut self, session: u64, name: &str, node: u64, groups: &[&str]) -> Outcome {
        self.sign_in_of(Identity(node), session, name, node, groups)
    }

    fn sign_in_of(
        &mut self,
        identity: Identity,
        session: u64,
        name: &str,
        node: u64,
        groups: &[&str],
    ) -> Outcome {
        let groups = groups.iter().map(|name| group(name)).collect();
        let addresses = [([127, 0, 0, 1], 7000 + u16::try_from(node).unwrap()).into()].into_iter().collect();
        let (name, incarnation) = (user(name), Incarnation(node));
        self.apply(session, Action::SignIn(SignIn { name, incarnation, identity, addresses, groups }))
    }

    /// Signs people in whose connection and node have the numbers 1, 2, ...
    fn with(names: &[&str]) -> World {
        let mut world = World::default();
        for (session, name) in (1..).zip(names) {
            assert_eq!(world.sign_in(session, name, session, &[]), Outcome::of(Ok(Answer::Done)));
        }
        world
    }

    fn join_as(&mut self, session: u64, name: &str, order: Option<OrderKind>) -> Outcome {
        self.apply(session, Action::Join { group: group(name), order })
    }

    fn join(&mut self, session: u64, name: &str) -> Result<Joined, Refusal> {
        match self.join_as(session, name, None).result {
            Ok(Answer::Joined(joined)) => Ok(joined),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal),
        }
    }

    fn report(&mut self, session: u64, name: &str, id: u64, members: &[(&str, u64)]) -> Outcome {
        let report = GroupReport {
            group: group(name),
            id: GroupId(id),
            order: OrderKind::Causal,
            members: peers(members),
        };
        self.apply(session, Action::Report(report))
    }

    fn members(&self, name: &str) -> Result<String, Refusal> {
        match self.directory.members_of(group(name))? {
            Answer::Members { members, .. } => {
                Ok(members.iter().map(UserName::as_str).collect::<Vec<_>>().join(" "))
            }
            other => panic!("{other:?}"),
        }
    }

    fn users(&self) -> String {
        match self.directory.users(None) {
            Answer::Users { users, .. } => users.iter().map(UserName::as_str).collect::<Vec<_>>().join(" "),
            other => panic!("{other:?}"),
        }
    }

    fn groups(&self) -> Vec<(String, u8)> {
        match self.directory.groups(None) {
            Answer::Groups { groups, .. } => {
                groups.iter().map(|group| (group.name.to_string(), group.members)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Where a person's node is: its incarnation.
fn found(world: &World, name: &str) -> Result<u64, Refusal> {
    match world.directory.find(user(name))? {
        Answer::Found(contact) => {
            assert_eq!((contact.name, contact.addresses.len()), (user(name), 1));
            Ok(contact.incarnation.0)
        }
        other => panic!("{other:?}"),
    }
}

fn contacts(joined: &Joined) -> Vec<&str> {
    joined.contacts.iter().map(|contact| contact.name.as_str()).collect()
}

#[test]
fn a_name_is_taken_while_its_node_is_connected() {
    let mut world = World::with(&["ann"]);
    assert_eq!(world.sign_in(2, "ann", 2, &[]).result, Err(Refusal::NameTaken));
    assert_eq!(world.apply(2, Action::SignOut).result, Err(Refusal::NotSignedIn));
    assert_eq!(world.sign_in(1, "bob", 1, &[]).result, Err(Refusal::AlreadySignedIn));
    assert_eq!(world.users(), "ann");
}

#[test]
fn a_restarted_node_takes_its_name_over_once_the_old_connection_is_closed() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(1, "lobby").unwrap();
    world.join(2, "lobby").unwrap();
    world.apply(1, Action::Disconnect);
    assert_eq!(world.members("lobby").unwrap(), "ann bob", "within the lease ann is listed");
    let outcome = world.sign_in(3, "ann", 33, &[]);
    assert_eq!((outcome.result, outcome.replaced), (Ok(Answer::Done), Some(SessionId(1))));
    assert_eq!(world.members("lobby").unwrap(), "bob", "the new node is in no group yet");
    assert_eq!(world.apply(1, Action::Expire).result, Err(Refusal::NotSignedIn), "the old lease is void");
    assert_eq!(world.users(), "ann bob");
}

#[test]
fn the_same_node_supersedes_its_half_open_connection_and_keeps_its_places() {
    let mut world = World::with(&["ann", "bob"]);
    for name in ["left", "lobby"] {
        world.join(1, name).unwrap();
        world.join(2, name).unwrap();
    }
    let outcome = world.sign_in(3, "ann", 1, &["lobby"]);
    assert_eq!((outcome.result, outcome.replaced), (Ok(Answer::Done), Some(SessionId(1))));
    assert_eq!(world.members("lobby").unwrap(), "ann bob");
    assert_eq!(world.members("left").unwrap(), "bob", "what the node does not name is void");
    assert_eq!(world.apply(1, Action::Disconnect).result, Err(Refusal::NotSignedIn));
}

#[test]
fn a_lost_connection_is_hinted_at_once_and_forgotten_with_the_lease() {
    let mut world = World::with(&["ann", "bob", "cid"]);
    world.join(1, "lobby").unwrap();
    world.join(2, "lobby").unwrap();
    let gone = Notice::MemberGone { group: group("lobby"), incarnation: Incarnation(1) };
    assert_eq!(world.apply(1, Action::Disconnect).notices, [(SessionId(2), gone)]);
    assert_eq!(world.users(), "ann bob cid");
    assert_eq!(contacts(&world.join(3, "lobby").unwrap()), ["bob", "ann"], "the lost one comes last");
    assert_eq!(world.apply(1, Action::Expire).notices, []);
    assert_eq!((world.users().as_str(), world.members("lobby").unwrap().as_str()), ("bob cid", "bob cid"));
}

#[test]
fn signing_out_leaves_all_groups_and_the_last_place_ends_a_group() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(1, "lobby").unwrap();
    world.join(2, "lobby").unwrap();
    world.join(1, "alone").unwrap();
    assert_eq!(world.apply(1, Action::SignOut).notices.len(), 1);
    assert_eq!(world.groups(), [("lobby".to_owned(), 1)]);
    assert_eq!(world.apply(1, Action::SignOut).result, Err(Refusal::NotSignedIn));
}

#[test]
fn the_first_to_join_creates_the_group_and_its_order_stays() {
    let mut world = World::with(&["ann", "bob"]);
    let created = world.join_as(1, "lobby", Some(OrderKind::Fifo)).result;
    let Ok(Answer::Joined(created)) = created else { panic!("{created:?}") };
    assert!(created.created && !created.order_differs && created.contacts.is_empty());
    let joined = world.join_as(2, "lobby", Some(OrderKind::Total));
    let Ok(Answer::Joined(second)) = &joined.result else { panic!("{joined:?}") };
    assert_eq!((second.id, second.order), (created.id, OrderKind::Fifo));
    assert!(!second.created && second.order_differs);
    assert_eq!(contacts(second), ["ann"]);
    let [(SessionId(1), Notice::Contact { contact, .. })] = &joined.notices[..] else { panic!("{joined:?}") };
    assert_eq!(contact.name, user("bob"));
    assert!(!world.join(2, "lobby").unwrap().order_differs, "asked again without an order");
    assert_eq!(world.groups(), [("lobby".to_owned(), 2)]);
}

#[test]
fn members_come_before_joiners_among_the_contacts() {
    let mut world = World::with(&["ann", "bob", "cid"]);
    let id = world.join(1, "lobby").unwrap().id;
    world.join(2, "lobby").unwrap();
    world.report(2, "lobby", id.0, &[("bob", 2)]);
    assert_eq!(contacts(&world.join(3, "lobby").unwrap()), ["bob", "ann"]);
}

#[test]
fn a_person_is_found_while_connected_then_away_and_not_known_before() {
    let mut world = World::with(&["ann", "bob"]);
    assert_eq!(found(&world, "bob"), Ok(2));
    assert_eq!(found(&world, "nobody"), Err(Refusal::NoSuchUser));
    world.apply(2, Action::Disconnect);
    assert_eq!(found(&world, "bob"), Err(Refusal::Away), "the connection is lost");
    world.apply(2, Action::Expire);
    assert_eq!(found(&world, "bob"), Err(Refusal::Away), "the lease has run out");
    world.sign_in(3, "bob", 33, &[]);
    assert_eq!(found(&world, "bob"), Ok(33));
    world.apply(3, Action::SignOut);
    assert_eq!(found(&world, "bob"), Err(Refusal::Away), "signed out");
}

#[test]
fn names_are_remembered_up_to_a_limit_and_beyond_it_people_are_found_all_the_same() {
    let mut world = World::default();
    for n in 0..NAMES_MAX as u64 {
        world.sign_in(n, &format!("user{n}"), n % 1_000, &[]);
        world.apply(n, Action::SignOut);
    }
    let late = NAMES_MAX as u64;
    world.sign_in(late, "late", 7, &[]);
    assert_eq!(found(&world, "late"), Ok(7));
    world.apply(late, Action::Disconnect);
    assert_eq!(found(&world, "late"), Err(Refusal::Away), "its lease runs");
    world.apply(late, Action::Expire);
    assert_eq!(found(&world, "late"), Err(Refusal::NoSuchUser));
    assert_eq!(found(&world, "user0"), Err(Refusal::Away));
}

#[test]
fn an_unknown_group_is_an_answer() {
    let mut world = World::with(&["ann", "bob"]);
    assert_eq!(world.members("nowhere"), Err(Refusal::NoSuchGroup));
    assert_eq!(world.apply(1, Action::Leave { group: group("nowhere") }).result, Err(Refusal::NoSuchGroup));
    world.join(1, "lobby").unwrap();
    assert_eq!(world.apply(2, Action::Leave { group: group("lobby") }).result, Err(Refusal::NotAMember));
}

#[test]
fn the_eleventh_is_refused_until_a_place_is_free() {
    let names: Vec<String> = (1..=11).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with(&names);
    let ids: Vec<GroupId> = (1..=10).map(|session| world.join(session, "lobby").unwrap().id).collect();
    assert_eq!(world.join(11, "lobby"), Err(Refusal::GroupFull));
    assert!(world.join(3, "lobby").is_ok(), "who is in may ask again");
    let view: Vec<(&str, u64)> = names[..10].iter().copied().zip(1..).collect();
    world.report(1, "lobby", ids[0].0, &view);
    assert_eq!(world.apply(5, Action::Leave { group: group("lobby") }).result, Ok(Answer::Done));
    assert!(
        world.join(11, "lobby").is_ok(),
        "who has left is not counted, whatever the others reported last"
    );
}

#[test]
fn a_tracker_that_restarted_learns_its_groups_from_reports() {
    let mut world = World::with(&["ann", "bob", "cid"]);
    let view = [("ann", 1), ("bob", 2), ("dan", 4)];
    assert_eq!(world.report(1, "lobby", 77, &view).result, Ok(Answer::Done));
    assert_eq!(world.members("lobby").unwrap(), "ann dan", "bob is here and has not said that he is in it");
    let outcome = world.report(2, "lobby", 77, &view);
    assert!(matches!(&outcome.notices[..], [(SessionId(1), Notice::Contact { .. })]), "{outcome:?}");
    let joined = world.join(3, "lobby").unwrap();
    assert_eq!((joined.id, joined.created), (GroupId(77), false));
    assert_eq!(contacts(&joined), ["ann", "bob"], "nothing is known of where dan is");
    assert_eq!(world.members("lobby").unwrap(), "ann bob cid dan");
}

#[test]
fn a_reporter_is_told_of_those_whom_its_view_lacks() {
    let mut world = World::with(&["ann", "bob", "cid"]);
    let joined = world.join(1, "lobby").unwrap();
    world.join(2, "lobby").unwrap();
    world.join(3, "lobby").unwrap();
    world.apply(3, Action::Disconnect);
    let GroupId(id) = joined.id;
    let outcome = world.report(1, "lobby", id, &[("ann", 1)]);
    let [(SessionId(1), Notice::Contact { contact, .. })] = &outcome.notices[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(contact.name, user("bob"), "cid has lost its connection: nobody is told to look for it");
    assert_eq!(world.report(1, "lobby", id, &[("ann", 1), ("bob", 2)]).notices, []);
}

#[test]
fn of_two_groups_of_one_name_the_smaller_identity_keeps_it_and_the_others_are_told() {
    let replaced = Notice::GroupReplaced { group: group("lobby"), id: GroupId(5) };
    for first in [5, 9] {
        let mut world = World::with(&["ann", "bob", "cid"]);
        let second = 14 - first;
        assert_eq!(world.report(1, "lobby", first, &[("ann", 1)]).notices, []);
        let loser = if first == 5 { 2 } else { 1 };
        let outcome = world.report(2, "lobby", second, &[("bob", 2)]);
        assert_eq!(outcome.notices, [(SessionId(loser), replaced.clone())]);
        assert_eq!(world.join(3, "lobby").unwrap().id, GroupId(5));
    }
}

#[test]
fn whom_the_survivors_no_longer_report_makes_room() {
    let names: Vec<String> = (1..=11).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with(&names);
    let ids: Vec<GroupId> = (1..=10).map(|session| world.join(session, "lobby").unwrap().id).collect();
    let view: Vec<(&str, u64)> = names[..10].iter().copied().zip(1..).collect();
    for session in 1..=10 {
        world.report(session, "lobby", ids[0].0, &view);
    }
    world.apply(4, Action::Disconnect);
    assert_eq!(world.join(11, "lobby"), Err(Refusal::GroupFull), "it may only have lost its connection");
    let survivors: Vec<(&str, u64)> = view.iter().copied().filter(|&(name, _)| name != "user4").collect();
    for session in (1..=10).filter(|&session| session != 4) {
        world.report(session, "lobby", ids[0].0, &survivors);
    }
    assert!(world.join(11, "lobby").is_ok());
}

#[test]
fn more_than_ten_that_are_in_a_group_anyway_are_remembered_up_to_a_limit() {
    let names: Vec<String> = (1..=CONTACTS_MAX + 1).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with(&names);
    for session in 1..=CONTACTS_MAX as u64 {
        assert_eq!(world.report(session, "lobby", 7, &[]).result, Ok(Answer::Done));
    }
    let one_more = CONTACTS_MAX as u64 + 1;
    assert_eq!(world.report(one_more, "lobby", 7, &[]).result, Err(Refusal::GroupFull));
}

#[test]
fn one_person_may_be_in_so_many_groups_only() {
    let mut world = World::with(&["ann"]);
    for n in 0..GROUPS_MAX {
        world.join(1, &format!("group{n}")).unwrap();
    }
    assert_eq!(world.join(1, "one-more"), Err(Refusal::TooManyGroups));
    assert_eq!(world.report(1, "one-more", 1, &[]).result, Err(Refusal::TooManyGroups));
    assert_eq!(world.groups().len(), GROUPS_MAX);
}

#[test]
fn long_listings_come_in_parts() {
    let mut world = World::default();
    for n in 0..LISTING_MAX as u64 + 5 {
        world.sign_in(n, &format!("user{n:04}"), n, &[]);
        world.join(n, &format!("group{n:04}")).unwrap();
    }
    let Answer::Groups { groups, more: true } = world.directory.groups(None) else { panic!() };
    let Answer::Groups { groups: rest, more } = world.directory.groups(Some(groups[LISTING_MAX - 1].name))
    else {
        panic!()
    };
    assert_eq!((groups.len(), rest.len(), more), (LISTING_MAX, 5, false));
    let Answer::Users { users, more: true } = world.directory.users(None) else { panic!() };
    let Answer::Users { users: rest, more } = world.directory.users(Some(users[LISTING_MAX - 1])) else {
        panic!()
    };
    assert_eq!((users.len(), rest.len(), more), (LISTING_MAX, 5, false));
}

#[test]
fn a_full_directory_refuses_the_next_person_and_the_next_group() {
    let mut world = World::default();
    for n in 0..USERS_MAX as u64 {
        assert!(world.sign_in(n, &format!("user{n}"), n, &[]).result.is_ok());
    }
    let late = USERS_MAX as u64;
    assert_eq!(world.sign_in(late, "late", late, &[]).result, Err(Refusal::TrackerFull));
    for n in 0..ALL_GROUPS_MAX as u64 {
        world.join(n, &format!("group{n}")).unwrap();
    }
    assert_eq!(world.join(1, "one-more"), Err(Refusal::TooManyGroups));
}

#[test]
fn the_same_commands_lead_to_the_same_directory() {
    let run = || {
        let mut world = World::with(&["ann", "bob"]);
        let outcomes = [world.join_as(1, "lobby", None), world.join_as(2, "lobby", None)];
        world.apply(1, Action::Disconnect);
        (outcomes, world.directory)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_restarted_node_of_the_same_person_comes_in_while_its_former_connection_looks_open() {
    let mut world = World::with(&[]);
    world.sign_in_of(Identity(7), 1, "ann", 1, &[]);
    world.sign_in(2, "bob", 2, &[]);
    world.join(1, "lobby").unwrap();
    world.join(2, "lobby").unwrap();
    let again = world.sign_in_of(Identity(7), 3, "ann", 3, &[]);
    assert_eq!((again.result, again.replaced), (Ok(Answer::Done), Some(SessionId(1))));
    let gone = Notice::MemberGone { group: group("lobby"), incarnation: Incarnation(1) };
    assert_eq!(again.notices, [(SessionId(2), gone)]);
    // Should the former one still run, it does not get the name back while this one has it.
    let former = world.sign_in_of(Identity(7), 4, "ann", 1, &[]);
    assert_eq!(former.result, Err(Refusal::NameTaken));
    assert_eq!(world.sign_in_of(Identity(8), 5, "ann", 5, &[]).result, Err(Refusal::NameTaken));
}
