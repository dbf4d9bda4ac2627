//! A certificate authority of this server, for networks in which no public one signs: its certificate is installed once on each
//! device, and the certificates that it makes are renewed without anyone noticing.

use super::certificate::{Loaded, TlsError, write};
use crate::net::interface_addresses;
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    net::IpAddr,
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::{Duration, SystemTime},
};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

const DAY: Duration = Duration::from_secs(86_400);
/// How long the authority is good: devices do not have to be visited again.
const AUTHORITY_LASTS: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long a certificate is good.
const CERTIFICATE_LASTS: Duration = Duration::from_secs(90 * 86_400);
/// After this a new one is made.
const RENEWED_AFTER: Duration = Duration::from_secs(60 * 86_400);
/// Interval between two looks at the addresses of the machine.
const ADDRESSES: Duration = Duration::from_secs(10);
/// Clocks of devices may be behind.
const EARLIER: Duration = DAY;

/// Networks that the authority may sign for: none that belongs to others. The name of the server can be any that it was made for.
const NETWORKS: [&str; 8] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
];

/// The authority, with what it signs for.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// As PEM.
    certificate: String,
    names: Vec<String>,
    issued: Option<Issued>,
}

/// The last certificate.
struct Issued {
    at: SystemTime,
    looked: SystemTime,
    addresses: BTreeSet<IpAddr>,
}

impl Authority {
    /// Opens the authority in a folder, or makes one there, for these names and those of the machine.
    ///
    /// # Errors
    /// When the folder cannot be used, or has an authority for other names.
    pub fn open(folder: &Path, names: &[String]) -> Result<Self, TlsError> {
        let names = all_names(names);
        let [key_file, certificate_file, names_file] = ["ca.key", "ca.pem", "ca.names"].map(|name| folder.join(name));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| of(folder, error))?;
        let listed = names.join("\n") + "\n";
        let (key, certificate) = match fs::read_to_string(&key_file) {
            Ok(key) => {
                let read = |path: &Path| fs::read_to_string(path).map_err(|error| of(path, error));
                if read(&names_file)? != listed {
                    return Err(TlsError::Names { folder: folder.to_owned() });
                }
                (KeyPair::from_pem(&key)?, read(&certificate_file)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                let certificate = parameters(&names)?.self_signed(&key)?.pem();
                // The key is last: without it the others are made again.
                write(&certificate_file, &certificate)?;
                write(&names_file, &listed)?;
                write(&key_file, &key.serialize_pem())?;
                (key, certificate)
            }
            Err(error) => return Err(of(&key_file, error)),
        };
        let issuer = Issuer::new(parameters(&names)?, key);
        Ok(Self { issuer, certificate, names, issued: None })
    }

    /// Its certificate, as PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// SHA-256 of its certificate, as browsers show it.
    pub fn fingerprint(&self) -> String {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let bytes = der.map(|der| digest(&SHA256, &der).as_ref().to_vec()).unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// Whether a new certificate should be made: the last one is old, or the machine has other addresses.
    pub fn is_due(&mut self, now: SystemTime) -> bool {
        let Some(issued) = &mut self.issued else { return true };
        let since = |time: SystemTime| now.duration_since(time).unwrap_or_default();
        if since(issued.at) > RENEWED_AFTER {
            return true;
        }
        if since(issued.looked) < ADDRESSES {
            return false;
        }
        issued.looked = now;
        addresses() != issued.addresses
    }

    /// Makes a certificate for the names and all addresses of the machine.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn issue(&mut self, now: SystemTime) -> Result<Loaded, TlsError> {
        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(self.names.clone())?;
        let addresses = addresses();
        leaf.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        leaf.distinguished_name = subject("voyandz");
        leaf.not_before = (now - EARLIER).into();
        leaf.not_after = (now + CERTIFICATE_LASTS).into();
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&key, &self.issuer)?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
        let line = format!("own, for {}", self.names.join(", "));
        self.issued = Some(Issued { at: now, looked: now, addresses });
        Loaded::new(vec![certificate.der().clone()], private, line)
    }
}

/// What the authority is, and for what it may sign.
fn parameters(names: &[String]) -> Result<CertificateParams, TlsError> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name = subject("voyandz certificate authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = SystemTime::now();
    authority.not_before = (now - EARLIER).into();
    authority.not_after = (now + AUTHORITY_LASTS).into();
    let networks = NETWORKS.iter().filter_map(|network| network.parse::<CidrSubnet>().ok());
    let networks = networks.map(GeneralSubtree::IpAddress);
    let names = names.iter().map(|name| GeneralSubtree::DnsName(name.clone()));
    let permitted_subtrees = names.chain(networks).collect();
    authority.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    Ok(authority)
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// The names of the configuration, and those of the machine.
fn all_names(configured: &[String]) -> Vec<String> {
    let machine = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let is_name = |name: &String| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    let own = [machine.clone(), format!("{machine}.local")].into_iter().filter(is_name).filter(|_| !machine.is_empty());
    let names: BTreeSet<_> = configured.iter().cloned().chain(own).chain(["localhost".to_owned()]).collect();
    names.into_iter().collect()
}

/// The addresses of the machine that the authority may sign for.
fn addresses() -> BTreeSet<IpAddr> {
    interface_addresses().into_iter().filter(|address| is_private(*address)).collect()
}

/// Whether an address is in one of [`NETWORKS`].
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

fn of(path: &Path, error: io::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_authority_is_kept_and_its_certificates_are_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("tls");
        let names = ["tv.example.org".to_owned()];
        let mut first = Authority::open(&folder, &names).unwrap();
        let again = Authority::open(&folder, &names).unwrap();
        assert_eq!(first.certificate(), again.certificate());
        assert_eq!((first.fingerprint(), first.fingerprint().len()), (again.fingerprint(), 95));
        for file in ["ca.key", "ca.pem", "ca.names"] {
            assert_eq!(fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
        assert!(matches!(Authority::open(&folder, &["other.example".to_owned()]), Err(TlsError::Names { .. })));
        let now = SystemTime::now();
        assert!(first.is_due(now));
        let issued = first.issue(now).unwrap();
        assert!(issued.line.contains("tv.example.org") && issued.line.contains("localhost"), "{}", issued.line);
        assert!(!first.is_due(now) && !first.is_due(now + RENEWED_AFTER) && first.is_due(now + RENEWED_AFTER + DAY));
    }

    #[test]
    fn only_private_addresses_are_signed_for() {
        for address in ["192.168.1.1", "10.9.9.9", "172.31.0.1", "127.0.0.1", "fd00::1", "fe80::1", "::1"] {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "2001:db8::1"] {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
        let parsed = NETWORKS.iter().filter(|network| network.parse::<CidrSubnet>().is_ok()).count();
        assert_eq!(parsed, NETWORKS.len());
    }
}
