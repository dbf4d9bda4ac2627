//! Networks of addresses, as `192.0.2.0/24`. Pure.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network: an address, and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network like 192.0.2.0/24 or 2001:db8::/32, or an address")]
pub struct NetworkError;

impl Network {
    /// Whether the address is in it. An IPv4 address in the form of IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(own.to_bits().into(), other.to_bits().into(), self.bits + 96),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), self.bits),
            _ => false,
        }
    }

    /// The address with this number in the network, counted from 0.
    pub fn nth(&self, number: u32) -> Option<IpAddr> {
        let (own, length) = match self.address {
            IpAddr::V4(own) => (u128::from(own.to_bits()), 32),
            IpAddr::V6(own) => (own.to_bits(), 128),
        };
        // Of the largest network all numbers are there.
        let count = 1_u128.checked_shl(length - u32::from(self.bits)).unwrap_or(u128::MAX);
        let bits = own + Some(u128::from(number)).filter(|number| *number < count)?;
        Some(match self.address {
            IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
        })
    }
}

/// Whether one of the networks has the address.
pub fn any_contains(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// What counts as one client: for IPv6 the network of 64 bits (RFC 6177).
pub fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Whether the first bits of two numbers are the same.
fn same(one: u128, other: u128, bits: u8) -> bool {
    (one ^ other).checked_shr(128 - u32::from(bits)).unwrap_or_default() == 0
}

impl FromStr for Network {
    type Err = NetworkError;

    /// The bits beyond the network must be zero: others are a mistake more often than not.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        // IPv4 in the form of IPv6 would match nothing, as addresses are compared in their own form.
        if address.to_canonical() != address {
            return Err(NetworkError);
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().map_err(|_| NetworkError)?,
            Some(_) => return Err(NetworkError),
        };
        let rest = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        let is_whole = bits <= most && rest.checked_shl(bits.into()).unwrap_or_default() == 0;
        if is_whole { Ok(Self { address, bits }) } else { Err(NetworkError) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_have_their_addresses() {
        let check = |network: &str, address: &str, expect: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expect, "{network} {address}");
        };
        check("192.0.2.0/24", "192.0.2.255", true);
        check("192.0.2.0/24", "192.0.3.0", false);
        check("192.0.2.0/24", "::ffff:192.0.2.7", true);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "2001:db8::1", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
    }

    #[test]
    fn addresses_have_numbers() {
        let nth =
            |network: &str, number| network.parse::<Network>().unwrap().nth(number).map(|found| found.to_string());
        assert_eq!(nth("192.0.2.0/30", 3).as_deref(), Some("192.0.2.3"));
        assert_eq!(nth("192.0.2.0/30", 4), None);
        assert_eq!(nth("192.0.2.7", 0).as_deref(), Some("192.0.2.7"));
        assert_eq!(nth("0.0.0.0/0", u32::MAX).as_deref(), Some("255.255.255.255"));
        assert_eq!(nth("::/0", 7).as_deref(), Some("::7"));
        assert_eq!(nth("::1", 1), None);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in [
            "",
            "a",
            "192.0.2.1/24",
            "192.0.2.0/33",
            "192.0.2.0/+8",
            "192.0.2.0/",
            "::1/64",
            "::/129",
            "1/8",
            "::ffff:192.0.2.0/120",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let origin = |text: &str| origin(text.parse().unwrap()).to_string();
        assert_eq!([origin("2001:db8::1:2"), origin("::ffff:192.0.2.1")], ["2001:db8::", "192.0.2.1"]);
    }

    proptest! {
        #[test]
        fn a_network_is_read_as_it_is_printed(address in any::<u128>(), bits in 0..=128u8) {
            let address = if bits == 0 { 0 } else { (address | 1 << 127) & (u128::MAX << (128 - u32::from(bits))) };
            let network = Network { address: Ipv6Addr::from_bits(address).into(), bits };
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            prop_assert!(network.contains(network.address));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:./]{0,24}") {
            let _ = text.parse::<Network>();
        }
    }
}
