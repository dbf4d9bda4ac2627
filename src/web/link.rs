//! Signed links: what a page requests carries the link that the page was requested with. Pure.

use crate::access::LINK_PARAMETER;

/// The signed link of a query, as it stands there.
pub fn link_in(query: &str) -> Option<&str> {
    query.split('&').find(|part| part.split_once('=').is_some_and(|(name, _)| name == LINK_PARAMETER))
}

/// An address with a signed link.
pub fn with_link(address: String, link: Option<&str>) -> String {
    match link {
        Some(link) => format!("{address}{}{link}", if address.contains('?') { '&' } else { '?' }),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_carry_the_link_of_the_page() {
        assert_eq!(link_in("a=1&v=x.y&b"), Some("v=x.y"));
        assert_eq!(link_in("a=1&vv=2"), None);
        assert_eq!(with_link("/a".to_owned(), Some("v=x")), "/a?v=x");
        assert_eq!(with_link("/a?b=1".to_owned(), Some("v=x")), "/a?b=1&v=x");
        assert_eq!(with_link("/a".to_owned(), None), "/a");
    }
}
