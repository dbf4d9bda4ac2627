//! A network interface of this machine, by its name or an address.

use nix::ifaddrs::getifaddrs;
use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

/// An interface for multicast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// One of its addresses of IPv4; unspecified lets the system choose.
    pub address: Ipv4Addr,
    /// Its number; 0 lets the system choose.
    pub index: u32,
}

impl Interface {
    /// The interface that the system chooses.
    pub const ANY: Self = Self { address: Ipv4Addr::UNSPECIFIED, index: 0 };

    /// The interface with this name, or one of whose addresses this is.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(text: &str) -> io::Result<Self> {
        let wanted = text.parse::<IpAddr>().ok();
        let all: Vec<_> = getifaddrs()?.collect();
        let address = |one: &nix::ifaddrs::InterfaceAddress| {
            let address = one.address.as_ref()?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
        };
        let is_it = |one: &&nix::ifaddrs::InterfaceAddress| match wanted {
            Some(wanted) => address(one) == Some(wanted),
            None => one.interface_name == text,
        };
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no network interface `{text}`"));
        let name = all.iter().find(is_it).map(|one| one.interface_name.clone()).ok_or_else(missing)?;
        let mut own = all.iter().filter(|one| one.interface_name == name).filter_map(address);
        let v4 = own.find_map(|address| if let IpAddr::V4(address) = address { Some(address) } else { None });
        let v4 = match wanted {
            Some(IpAddr::V4(wanted)) => Some(wanted),
            _ => v4,
        };
        let index = nix::net::if_::if_nametoindex(name.as_str())?;
        Ok(Self { address: v4.unwrap_or(Ipv4Addr::UNSPECIFIED), index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_a_name_and_addresses() {
        let named = Interface::find("lo").unwrap();
        assert_eq!(named.address, Ipv4Addr::LOCALHOST);
        assert_eq!(Interface::find("127.0.0.1").unwrap(), named);
        let error = Interface::find("nosuch0").unwrap_err();
        assert_eq!(error.to_string(), "there is no network interface `nosuch0`");
    }
}
