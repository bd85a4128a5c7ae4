//! A tracker on a thread of another program.

use decury_tracker::host::{Hosted, Options, StartError};

use crate::support::Client;

#[test]
fn a_hosted_tracker_serves_until_it_is_dropped_and_frees_its_port() {
    let any = Options::at("127.0.0.1:0".parse().unwrap());
    let hosted = Hosted::start(any).unwrap();
    assert_eq!(hosted.reachable_at(), [hosted.address()]);
    let mut ann = Client::signed_in(hosted.address(), "ann", 1);
    assert_eq!(ann.users(), ["ann"]);
    let same = Options::at(hosted.address());
    assert!(matches!(Hosted::start(same), Err(StartError::InUse(_))));
    drop(hosted);
    assert_eq!(ann.told(), None);
    assert!(Hosted::start(same).is_ok());
}
