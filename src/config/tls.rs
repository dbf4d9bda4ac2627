//! `tls:`: how connections are encrypted, checked and printed.

use super::{
    acme,
    auth::host_name,
    diagnostics::Path,
    expected::{Expected, path_name},
    model::{CertificateSource, Plain, Tls},
    raw,
    spans::Place,
    validator::Validator,
};
use serde_yaml::Value;

impl Validator {
    /// The section of a server that listens on this port; `None` when there is none.
    pub(super) fn tls(&mut self, path: &Path, value: Option<Value>, port: u16) -> Option<Tls> {
        let keys: raw::Tls = self.section(path, value.filter(|value| !value.is_null())?);
        let has_names = keys.names.is_some();
        let certificate = self.value(&path.key("certificate"), keys.certificate, path_name);
        let key = self.value(&path.key("key"), keys.key, path_name);
        let folder = self.value(&path.key("own"), keys.own, path_name);
        let names = keys.names.map(|value| self.scalars(&path.key("names"), value, host_name)).unwrap_or_default();
        let clients = self.value(&path.key("clients"), keys.clients, path_name);
        let plain = self.value(&path.key("plain"), keys.plain, plain).unwrap_or(Plain::Local);
        if has_names && folder.is_none() {
            let message = if keys.acme.is_some() {
                "those of a certificate by ACME stand in `acme`: `acme: {names: …}`"
            } else {
                "a certificate in a file has its names already: they are for `own`"
            };
            self.note(&path.key("names"), Place::Key, message.to_owned());
        }
        if let Some(acme) = keys.acme {
            let others = [("certificate", certificate.is_some()), ("key", key.is_some()), ("own", folder.is_some())];
            for (name, _) in others.into_iter().filter(|(_, is_given)| *is_given) {
                self.note(&path.key(name), Place::Key, "the certificate comes by `acme`, keep one of them".to_owned());
            }
            let certificate = CertificateSource::Acme(self.acme(&path.key("acme"), acme, port));
            return Some(Tls { certificate, clients, plain });
        }
        let certificate = match (certificate, key, folder) {
            (Some(certificate), Some(key), None) => CertificateSource::Files { certificate, key },
            (None, None, Some(folder)) => CertificateSource::Own { folder, names },
            (Some(_), None, _) => return self.incomplete(path, "has no `key`, the file with the private key"),
            (None, Some(_), _) => return self.incomplete(path, "has no `certificate`, the file with it"),
            (Some(_), Some(_), Some(_)) => {
                let message = "`certificate` is given already, keep one of them".to_owned();
                self.note(&path.key("own"), Place::Key, message);
                return None;
            }
            (None, None, None) => {
                return self.incomplete(path, "expected `certificate` and `key`, `own` with a folder, or `acme`");
            }
        };
        Some(Tls { certificate, clients, plain })
    }

    fn incomplete(&mut self, path: &Path, message: &str) -> Option<Tls> {
        self.note(path, Place::Key, message.to_owned());
        None
    }
}

/// The section as it could have been read.
pub(super) fn printed(tls: &Tls) -> Value {
    let path = |path: &std::path::Path| Some(Value::String(path.to_string_lossy().into_owned()));
    let mut keys = raw::Tls { plain: Some(Value::String(tls.plain.name().to_owned())), ..raw::Tls::default() };
    keys.clients = tls.clients.as_deref().and_then(path);
    match &tls.certificate {
        CertificateSource::Files { certificate, key } => {
            (keys.certificate, keys.key) = (path(certificate), path(key));
        }
        CertificateSource::Own { folder, names } => {
            keys.own = path(folder);
            let list = || Value::Sequence(names.iter().cloned().map(Value::String).collect());
            keys.names = (!names.is_empty()).then(list);
        }
        CertificateSource::Acme(acme) => keys.acme = Some(acme::printed(acme)),
    }
    serde_yaml::to_value(&keys).unwrap_or_default()
}

fn plain(text: &str) -> Result<Plain, Expected> {
    let found = Plain::ALL.into_iter().find(|plain| plain.name() == text);
    found.ok_or_else(|| "all, local or none".into())
}

#[cfg(test)]
mod tests {
    use crate::config::{CertificateSource, Plain, parse, testing::check};

    #[test]
    fn certificates_come_from_files_or_from_an_own_authority() {
        let tls = |text: &str| parse(text).unwrap().tls;
        assert_eq!((tls(""), tls("tls:")), (None, None));
        let files = tls("tls: {certificate: a.pem, key: a.key, plain: all}").unwrap();
        let expected = CertificateSource::Files { certificate: "a.pem".into(), key: "a.key".into() };
        assert_eq!((files.certificate, files.plain), (expected, Plain::All));
        assert_eq!(tls("tls: {own: a, clients: ca.pem}").unwrap().clients, Some("ca.pem".into()));
        let own = tls("tls: {own: folder, names: TV.example.org}").unwrap();
        let expected = CertificateSource::Own { folder: "folder".into(), names: vec!["tv.example.org".to_owned()] };
        assert_eq!((own.certificate, own.plain), (expected, Plain::Local));
    }

    #[test]
    fn faults() {
        check("tls: {}", "1:1: tls: expected `certificate` and `key`, `own` with a folder, or `acme`");
        check("tls: {certificate: a}", "1:1: tls: has no `key`, the file with the private key");
        check("tls: {key: a}", "1:1: tls: has no `certificate`, the file with it");
        check(
            "tls: {certificate: a, key: b, own: c}",
            "1:31: tls.own: `certificate` is given already, keep one of them",
        );
        check(
            "tls: {certificate: a, key: b, names: c}",
            "1:31: tls.names: a certificate in a file has its names already: they are for `own`",
        );
        check("tls: {own: a, plain: some}", "1:22: tls.plain: expected all, local or none, found \"some\"");
    }

    #[test]
    fn plain_connections() {
        let permits = |plain: Plain| {
            ["127.0.0.1", "::ffff:127.0.0.1", "::1", "192.0.2.1"].map(|peer| plain.permits(peer.parse().unwrap()))
        };
        assert_eq!(permits(Plain::All), [true; 4]);
        assert_eq!(permits(Plain::Local), [true, true, true, false]);
        assert_eq!(permits(Plain::None), [false; 4]);
    }
}
