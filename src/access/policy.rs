//! The rules of a configuration: who there is, and what each may do. Pure.

use super::{
    action::{Action, Role},
    digest::DigestSecret,
    hook::HookSource,
    jwt::{JwtRules, KeySet},
    network::{Network, any_contains},
    password::PasswordHash,
    permission::{Permission, Permissions},
    secret::{MASK, Secret},
};
use std::{collections::HashMap, net::IpAddr, path::PathBuf, sync::Arc, time::SystemTime};

/// The `auth:` section of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// What those may do who prove nothing.
    pub anyone: Permissions,
    /// Those with a password, in the order of the configuration.
    pub users: Vec<User>,
    /// Programs with a token, in the order of the configuration.
    pub tokens: Vec<Token>,
    /// Who may do what by JSON Web Tokens.
    pub jwt: Option<JwtSource>,
    /// The service that is asked about all that nothing else permits.
    pub hook: Option<HookSource>,
    /// The keys of signed links by their names. The last one signs, all verify.
    pub link_keys: Vec<(Arc<str>, Secret)>,
    /// Nothing may be done from there.
    pub deny: Vec<Network>,
    /// An action that is listed may be done from there only.
    pub allow: Vec<(Action, Vec<Network>)>,
    /// Proxies whose `X-Forwarded-For` and other headers of forwarding are believed.
    pub proxies: Vec<Network>,
    /// Whether connections of these proxies begin with the header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The names by which the pages of the state may be requested; any name without one.
    pub names: Vec<String>,
    /// The hosts whose pages may show media; any page without one. `*.` at the beginning stands for any host below.
    pub referers: Vec<String>,
}

/// Who has a password.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Unique among users.
    pub name: Arc<str>,
    /// Checks the password; without one the user has a certificate.
    pub password: Option<Arc<PasswordHash>>,
    /// Checks the password for Digest, where a user has that.
    pub digest: Option<DigestSecret>,
    /// Names of certificates that prove to be this user.
    pub certificates: Vec<Arc<str>>,
    /// What the user may do.
    pub grant: Grant,
}

/// A program that has a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Unique among tokens.
    pub name: Arc<str>,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// What it may do.
    pub grant: Grant,
}

/// Where tokens of a service come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSource {
    /// Where the public keys come from, a JSON Web Key Set.
    pub keys: KeySource,
    /// What a token must say.
    pub rules: JwtRules,
}

/// Where the public keys of a service are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Address(String),
}

/// What a user or token may do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grant {
    /// The actions.
    pub may: Permissions,
    /// From where; anywhere without one.
    pub from: Vec<Network>,
    /// Until when; for ever without one.
    pub until: Option<SystemTime>,
}

impl Default for Policy {
    /// Without an `auth:` section: anyone may watch and read the state, and nothing else.
    fn default() -> Self {
        Self {
            anyone: Permissions::new(vec![Permission::of_role(Role::Viewer)]),
            users: Vec::new(),
            tokens: Vec::new(),
            jwt: None,
            hook: None,
            link_keys: Vec::new(),
            deny: Vec::new(),
            allow: Vec::new(),
            proxies: Vec::new(),
            proxy_protocol: false,
            names: Vec::new(),
            referers: Vec::new(),
        }
    }
}

impl Policy {
    /// Whether an address is that of a proxy that may say by which name and scheme clients reach the server. Without any proxies in the
    /// configuration those of this machine are; what they say decides about links on pages, and about no permission.
    pub fn names_site(&self, address: IpAddr) -> bool {
        match self.proxies.as_slice() {
            [] => address.to_canonical().is_loopback(),
            proxies => any_contains(proxies, address),
        }
    }

    /// Whether both take the keys of JSON Web Tokens from the same address.
    pub fn has_key_address_of(&self, other: &Self) -> bool {
        let address = |policy: &Self| match policy.jwt.as_ref().map(|jwt| &jwt.keys) {
            Some(KeySource::Address(address)) => Some(address.clone()),
            _ => None,
        };
        address(self).is_some() && address(self) == address(other)
    }

    /// The key of links with this name.
    pub fn link_key(&self, name: &str) -> Option<&Secret> {
        self.link_keys.iter().find(|(known, _)| &**known == name).map(|(_, key)| key)
    }

    /// The same without its secrets, to be shown: it opens nothing.
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        masked.users.iter_mut().for_each(|user| {
            user.password = user.password.is_some().then(|| Arc::new(PasswordHash::masked()));
            user.digest = user.digest.is_some().then(DigestSecret::masked);
        });
        masked.tokens.iter_mut().for_each(|token| token.digest = [0; 32]);
        masked.hook.iter_mut().for_each(|hook| hook.url = Secret::new(MASK));
        masked.link_keys.iter_mut().for_each(|(_, key)| *key = Secret::new(MASK));
        masked
    }

    /// Whether a user has a password.
    pub fn has_passwords(&self) -> bool {
        self.users.iter().any(|user| user.password.is_some())
    }

    /// Whether a user has a secret for Digest.
    pub fn has_digests(&self) -> bool {
        self.users.iter().any(|user| user.digest.is_some())
    }

    /// Whether there is any way to prove who one is.
    pub fn knows_anyone(&self) -> bool {
        let is_service = self.jwt.is_some() || self.hook.is_some();
        is_service || !(self.users.is_empty() && self.tokens.is_empty() && self.link_keys.is_empty())
    }
}

/// A policy with what makes look-ups fast.
#[derive(Debug)]
pub struct IndexedPolicy {
    policy: Policy,
    keys: KeySet,
    users: HashMap<Arc<str>, usize>,
    has_passwords: bool,
    certificates: HashMap<Arc<str>, usize>,
    tokens: HashMap<[u8; 32], usize>,
}

impl IndexedPolicy {
    /// Indexes a policy, of which `keys` verify JSON Web Tokens.
    pub fn new(policy: Policy, keys: KeySet) -> Self {
        let users = policy.users.iter().enumerate().map(|(at, user)| (user.name.clone(), at)).collect();
        let tokens = policy.tokens.iter().enumerate().map(|(at, token)| (token.digest, at)).collect();
        let named = policy.users.iter().enumerate();
        let named = named.flat_map(|(at, user)| user.certificates.iter().map(move |name| (name.clone(), at)));
        let certificates = named.collect();
        let has_passwords = policy.has_passwords();
        Self { policy, keys, users, has_passwords, certificates, tokens }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The keys that verify JSON Web Tokens.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// The user with this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.policy.users.get(*self.users.get(name)?)
    }

    /// Whether a user has a password.
    pub const fn has_passwords(&self) -> bool {
        self.has_passwords
    }

    /// The user whom one of these names of a certificate is for; the first counts.
    pub fn certified(&self, names: &[String]) -> Option<&User> {
        let at = names.iter().find_map(|name| self.certificates.get(name.as_str()))?;
        self.policy.users.get(*at)
    }

    /// The token with this digest.
    pub fn token(&self, digest: &[u8; 32]) -> Option<&Token> {
        self.policy.tokens.get(*self.tokens.get(digest)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_that_are_named_are_the_only_ones() {
        let check = |proxies: &[&str], address: &str, expect: bool| {
            let proxies = proxies.iter().map(|network| network.parse().unwrap()).collect();
            let policy = Policy { proxies, ..Policy::default() };
            assert_eq!(policy.names_site(address.parse().unwrap()), expect, "{address}");
        };
        for (address, by_default) in
            [("127.0.0.1", true), ("::1", true), ("::ffff:127.0.0.9", true), ("192.0.2.1", false)]
        {
            check(&[], address, by_default);
            check(&["192.0.2.0/24"], address, !by_default);
        }
        check(&["10.0.0.0/8", "::1"], "::1", true);
        check(&["10.0.0.0/8", "::1"], "127.0.0.1", false);
    }
}
