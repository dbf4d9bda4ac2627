//! Certificates of clients: who has one of a known authority is a user, by HTTPS and RTSPS.

use crate::rig::{
    SOON, Server,
    log::field,
    script::{H264, PICTURE, shell},
    tls::{Encrypted, connect, connect_as},
    wait_until,
};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType};
use std::{fs, net::SocketAddr, path::Path, time::Duration};

/// An authority for clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// A certificate with this common name and this address of mail, and its key.
    fn client(&self, name: &str, mail: &str) -> (String, String) {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.subject_alt_names = vec![SanType::Rfc822Name(mail.try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Is one of the authorities of a server from now on.
    fn write(&self, file: &Path) {
        let new = file.with_extension("new");
        fs::write(&new, &self.pem).unwrap();
        fs::rename(new, file).unwrap();
    }
}

fn yaml(folder: &Path, users: &str) -> String {
    let ticks = shell("while echo tick; do sleep 0.05; done");
    let clients = folder.join("clients.pem");
    format!(
        "rtsp: {{listen: '127.0.0.1:0'}}\nfeeds: {{ticks: {{command: {ticks}}}, one: {{pipeline: '{PICTURE}'}}}}\nstreams:\n  \
         cam_film: {{feed: one, video: {H264}}}\n  \
         cam.raw: {{feed: ticks, container: raw}}\n  yard.raw: {{feed: ticks, container: raw}}\n\
         auth:\n  anyone: [view yard*]\n  users: {{{users}}}\n\
         tls: {{own: authority, clients: {}, plain: all}}\n",
        clients.display()
    )
}

const USERS: &str =
    "anna: {certificate: [anna@example.org], may: viewer}, robot: {certificate: 'The robot', may: view cam*}";

#[test]
fn x6_a_certificate_is_a_user() {
    let folder = tempfile::tempdir().unwrap();
    let (known, other) = (Authority::new("known"), Authority::new("other"));
    known.write(&folder.path().join("clients.pem"));
    let server = Server::start(&yaml(folder.path(), USERS));
    let own = fs::read_to_string(server.file().with_file_name("authority").join("ca.pem")).unwrap();
    let to = |address: SocketAddr, identity: Option<&(String, String)>| {
        let identity = identity.map(|(certificate, key)| (certificate.as_str(), key.as_str()));
        connect_as(address, "localhost", &own, identity)
    };
    let get = |identity: Option<&(String, String)>, target: &str, headers: &str| {
        to(server.address(), identity).unwrap().get(target, headers).0
    };
    let anna = known.client("someone", "anna@example.org");
    let robot = known.client("The robot", "robot@example.net");
    let nobody = known.client("nobody", "nobody@example.org");
    // Without one it is as ever.
    assert_eq!([get(None, "/yard.raw", ""), get(None, "/cam.raw", "")], [200, 403]);
    assert_eq!([get(Some(&anna), "/cam.raw", ""), get(Some(&anna), "/stat.json", "")], [200, 200]);
    assert_eq!([get(Some(&robot), "/cam.raw", ""), get(Some(&robot), "/stat.json", "")], [200, 403]);
    // One that no user has is wrong, also where anyone may.
    assert_eq!([get(Some(&nobody), "/yard.raw", ""), get(Some(&nobody), "/cam.raw", "")], [403, 403]);
    // It counts before all else.
    assert_eq!(get(Some(&robot), "/cam.raw", "Authorization: Bearer x\r\n"), 200);
    server.log.wait("user=cert:anna@example.org", SOON);
    server.log.wait("user=cert:robot@example.net", SOON);
    // One of another authority ends the connection, in the handshake or, by TLS 1.3, right after it.
    let foreign = other.client("someone", "anna@example.org");
    let ends = |connection: Result<Encrypted, String>| match connection {
        Ok(mut connection) => connection.ask("GET /cam.raw HTTP/1.1\r\nHost: localhost\r\n\r\n").is_none(),
        Err(_) => true,
    };
    assert!(ends(to(server.address(), Some(&foreign))));
    // RTSPS is the same.
    let listening = server.log.wait("listening .*protocol=rtsp", SOON);
    let rtsp: SocketAddr = field(&listening, "address").parse().unwrap();
    let describe = |identity: Option<&(String, String)>| {
        let mut connection = to(rtsp, identity).unwrap();
        let head = connection.ask("DESCRIBE rtsp://localhost/cam_film RTSP/1.0\r\nCSeq: 1\r\n\r\n").unwrap();
        head.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    assert_eq!([describe(None), describe(Some(&nobody))], [403, 403]);
    assert_eq!([describe(Some(&anna)), describe(Some(&robot))], [200, 200]);
}

#[test]
fn x6_what_a_certificate_opened_ends_with_its_name_and_authorities_are_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let file = folder.path().join("clients.pem");
    first.write(&file);
    let server = Server::start(&yaml(folder.path(), USERS));
    let own = fs::read_to_string(server.file().with_file_name("authority").join("ca.pem")).unwrap();
    let status = |(certificate, key): &(String, String)| match connect_as(
        server.address(),
        "localhost",
        &own,
        Some((certificate, key)),
    ) {
        Ok(mut connection) => connection.ask("HEAD /cam.raw HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap_or_default(),
        Err(error) => error,
    };
    let (old, new) = (first.client("a", "anna@example.org"), second.client("b", "anna@example.org"));
    let mut watching = connect_as(server.address(), "localhost", &own, Some((&old.0, &old.1))).unwrap();
    assert_eq!(watching.get("/cam.raw", "").0, 200);
    let mut anyone = connect(server.address(), "localhost", &own).unwrap();
    assert_eq!(anyone.get("/yard.raw", "").0, 200);
    assert!(!status(&new).contains(" 200 "));
    second.write(&file);
    wait_until("the other authority counts", SOON, || status(&new).contains(" 200 "));
    assert!(!status(&old).contains(" 200 "));
    server.log.wait("authorities of clients in ", SOON);
    // A bad file changes nothing.
    fs::write(file.with_extension("new"), "no certificate").unwrap();
    fs::rename(file.with_extension("new"), &file).unwrap();
    server.log.wait("WARN.*certificate not renewed", SOON);
    assert!(status(&new).contains(" 200 "));
    // Who watches is not touched by that, and ends with the name.
    watching.take_until(|bytes| !bytes.is_empty());
    server.reload(&yaml(folder.path(), "robot: {certificate: x, may: viewer}"));
    let began = std::time::Instant::now();
    watching.take_until(|bytes| bytes.ends_with(b"0\r\n\r\n"));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    anyone.taken();
    anyone.take_until(|bytes| !bytes.is_empty());
}
