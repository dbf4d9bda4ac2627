//! The addresses of this machine.

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use std::net::IpAddr;

/// The addresses of the interfaces that are up; none where the system does not say.
pub fn interface_addresses() -> Vec<IpAddr> {
    let Ok(found) = getifaddrs() else { return Vec::new() };
    let addresses = found.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP)).filter_map(|one| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_an_address() {
        assert!(interface_addresses().contains(&IpAddr::from([127, 0, 0, 1])));
    }
}
