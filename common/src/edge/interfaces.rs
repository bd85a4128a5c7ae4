//! The addresses of this machine.

use std::net::{IpAddr, SocketAddr};

/// The addresses at which others can reach a socket bound to `bound`: the address itself, or, when that is a
/// wildcard, one for each of the machine's interfaces. Loopback addresses are among them only if there is nothing
/// else; link-local ones of IPv6 never are, as they mean nothing without the interface.
pub fn reachable_at(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        log::warn!("cannot list this machine's addresses: {error}");
        Vec::new()
    });
    let ips = interfaces.into_iter().map(|interface| interface.ip());
    let (loopback, others): (Vec<IpAddr>, Vec<IpAddr>) =
        ips.filter(|ip| means_something(*ip, bound)).partition(IpAddr::is_loopback);
    let ips = if others.is_empty() { loopback } else { others };
    ips.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

/// Whether others can use an address for a socket bound to that wildcard (the one of IPv6 takes both kinds).
fn means_something(ip: IpAddr, bound: SocketAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => bound.is_ipv6() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_addresses_with_the_same_port() {
        let addresses = reachable_at(SocketAddr::from(([0, 0, 0, 0], 7400)));
        assert!(!addresses.is_empty());
        for address in addresses {
            assert!(address.is_ipv4() && !address.ip().is_unspecified() && address.port() == 7400);
        }
    }

    #[test]
    fn any_other_address_stands_for_itself() {
        let bound = SocketAddr::from(([127, 0, 0, 1], 7400));
        assert_eq!(reachable_at(bound), [bound]);
    }
}
