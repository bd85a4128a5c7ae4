//! Where others can reach this node: what it tells them, since it cannot know which way they come.

use std::net::SocketAddr;

use decury_common::edge::reachable_at;
use decury_common::wire::membership::Addresses;

/// The addresses of a socket bound to `bound`: that one, or those of all interfaces if it is a wildcard; IPv4 first,
/// as more can dial it. What is advertised takes their place; without a port (0) it has the socket's.
pub(crate) fn dialable(bound: SocketAddr, advertised: &[SocketAddr]) -> Addresses {
    let mut all = if advertised.is_empty() { reachable_at(bound) } else { advertised.to_vec() };
    all.sort_by_key(SocketAddr::is_ipv6);
    let mut distinct = Addresses::new();
    for mut addr in all {
        if addr.port() == 0 {
            addr.set_port(bound.port());
        }
        if !distinct.contains(&addr) && distinct.try_push(addr).is_err() {
            break;
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_or_an_advertised_address_stands_alone() {
        let addrs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let bound: SocketAddr = "127.0.0.1:5000".parse().unwrap();
        assert_eq!(dialable(bound, &[])[..], [bound]);
        let advertised = addrs(&["192.0.2.1:0", "192.0.2.1:5000", "[2001:db8::1]:0", "198.51.100.1:7"]);
        let expected = addrs(&["192.0.2.1:5000", "198.51.100.1:7", "[2001:db8::1]:5000"]);
        assert_eq!(dialable(bound, &advertised)[..], expected);
    }

    #[test]
    fn a_wildcard_has_at_least_one_address_that_can_be_dialled() {
        let all = dialable("0.0.0.0:5000".parse().unwrap(), &[]);
        assert!(!all.is_empty());
        assert!(all.iter().all(|addr| addr.port() == 5000 && !addr.ip().is_unspecified()));
    }
}
