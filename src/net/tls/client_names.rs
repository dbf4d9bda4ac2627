//! The names that the certificate of a client has. It was verified before: this only reads it. Pure.

use super::der::{BOOLEAN, Der, EXTENSIONS, OCTETS, OID, SEQUENCE, SET, VERSION};

/// Most names of one certificate.
const MAX_NAMES: usize = 64;
/// Longest name in bytes.
const MAX_NAME: usize = 256;

/// UTF8String, PrintableString, IA5String.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// rfc822Name, dNSName and uniformResourceIdentifier of a subject alternative name (section 4.2.1.6).
const ALTERNATIVES: [u8; 3] = [0x81, 0x82, 0x86];
/// `2.5.4.3` and `2.5.29.17`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The alternative names of mail, hosts and addresses, and then the common names of the subject of a certificate, as DER.
pub fn names(certificate: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let _ = read(certificate, &mut names);
    names.truncate(MAX_NAMES);
    names
}

/// `None` where the certificate is not as it should be; what was found until then stays.
fn read(certificate: &[u8], names: &mut Vec<String>) -> Option<()> {
    let signed = Der(certificate).inside(SEQUENCE)?.inside(SEQUENCE)?;
    let mut fields = signed;
    if fields.peek() == Some(VERSION) {
        fields.next()?;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        fields.next()?;
    }
    let subject = fields.inside(SEQUENCE)?;
    let extensions = fields.find(|(tag, _)| *tag == EXTENSIONS).and_then(|(_, bytes)| Der(bytes).inside(SEQUENCE));
    for (_, extension) in extensions.into_iter().flatten() {
        let mut parts = Der(extension);
        if parts.inside_any(&[OID])? != ALTERNATIVE_NAME {
            continue;
        }
        if parts.peek() == Some(BOOLEAN) {
            parts.next()?;
        }
        let alternatives = parts.inside(OCTETS)?.inside(SEQUENCE)?;
        names.extend(alternatives.filter(|(tag, _)| ALTERNATIVES.contains(tag)).filter_map(|(_, bytes)| text(bytes)));
    }
    for (_, set) in subject.filter(|(tag, _)| *tag == SET) {
        for (_, pair) in Der(set) {
            let mut pair = Der(pair);
            if pair.inside_any(&[OID])? == COMMON_NAME {
                names.extend(pair.inside_any(&TEXTS).and_then(text));
            }
        }
    }
    Some(())
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    ((1..=MAX_NAME).contains(&text.len()) && !text.contains(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(subject: &str, names: Vec<SanType>) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::OrganizationName, "Studio");
        parameters.distinguished_name.push(DnType::CommonName, subject);
        parameters.subject_alt_names = names;
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_read() {
        let found = names(&certificate("Anna Ä.", Vec::new()));
        assert_eq!(found, ["Anna Ä."]);
        let alternatives = vec![
            SanType::Rfc822Name("anna@example.org".try_into().unwrap()),
            SanType::IpAddress([192, 0, 2, 1].into()),
            SanType::DnsName("cam.example.org".try_into().unwrap()),
            SanType::URI("spiffe://example.org/cam".try_into().unwrap()),
        ];
        let found = names(&certificate("cam", alternatives));
        assert_eq!(found, ["anna@example.org", "cam.example.org", "spiffe://example.org/cam", "cam"]);
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        let whole = certificate("cam", Vec::new());
        for length in 0..whole.len() {
            assert!(names(&whole[..length]).is_empty(), "{length}");
        }
        assert!(names(&certificate("a\u{7}b", Vec::new())).is_empty(), "control characters");
    }

    proptest! {
        #[test]
        fn nothing_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300, value in any::<u8>()) {
            let _ = names(&bytes);
            bytes = certificate("cam", vec![SanType::Rfc822Name("a@b".try_into().unwrap())]);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            prop_assert!(names(&bytes).len() <= MAX_NAMES);
        }
    }
}
