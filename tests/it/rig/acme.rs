//! An authority of ACME (RFC 8555) that a test plays: HTTPS, nonces, signatures that are verified, and challenges for which it really
//! connects to the server.

use super::SOON;
use ::aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use data_encoding::BASE64URL_NOPAD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SignatureAlgorithm,
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, SystemTime},
};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection, SignatureScheme,
    StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};

/// An authority on a port of its own, for as long as the test runs.
pub struct Authority {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The certificate that vouches for its directory, as PEM.
    pub trust: String,
}

struct Shared {
    address: SocketAddr,
    signs: Issuer<'static, KeyPair>,
    root: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Where the names lead to; validations wait for it.
    target: Option<SocketAddr>,
    lasts: Duration,
    is_down: bool,
    /// So many requests are refused because of their nonce, however good it is.
    bad_nonces: usize,
    /// Orders are refused with this status and problem.
    refusal: Option<(u16, Value)>,
    /// What it is to find in challenges instead of the truth.
    disbelief: Option<&'static str>,
    nonces: HashSet<String>,
    made: usize,
    accounts: Vec<Account>,
    orders: Vec<Order>,
    requests: Vec<String>,
    /// What a client of ACME must not do.
    faults: Vec<String>,
}

#[derive(Clone)]
struct Account {
    /// The public key, as 65 bytes.
    key: Vec<u8>,
    thumbprint: String,
    contact: Vec<String>,
}

struct Order {
    account: usize,
    proofs: Vec<Proof>,
    chain: Option<String>,
    /// Finalized, and not looked at since.
    is_processing: bool,
}

struct Proof {
    name: String,
    token: String,
    /// `None` while it is open.
    result: Option<Result<(), Value>>,
}

/// A key that a request for a certificate has.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn root(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = parameters.self_signed(&key).unwrap().pem();
    (Issuer::new(parameters, key), pem)
}

impl Authority {
    /// One whose certificates last so long.
    pub fn new(lasts: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (vouches, trust) = root("trust of the directory");
        let (signs, root) = root("authority of the test");
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &vouches).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = Arc::new(config.with_single_cert(vec![own.der().clone()], key).unwrap());
        let state = Mutex::new(State { lasts, ..State::default() });
        let shared = Arc::new(Shared { address, signs, root, state, changed: Condvar::new() });
        let own = shared.clone();
        // Ends with the test.
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                let (shared, config) = (own.clone(), config.clone());
                if !shared.lock().is_down {
                    thread::spawn(move || serve(&shared, socket, config));
                }
            }
        });
        Self { address, shared, trust }
    }

    /// The address of its directory.
    pub fn directory(&self) -> String {
        self.shared.url("/directory")
    }

    /// The certificate that its certificates are trusted by, as PEM.
    pub fn root(&self) -> &str {
        &self.shared.root
    }

    /// All names lead to this server.
    pub fn lead_to(&self, server: SocketAddr) {
        self.shared.lock().target = Some(server);
        self.shared.changed.notify_all();
    }

    /// Whether it closes connections as soon as they come.
    pub fn set_down(&self, is_down: bool) {
        self.shared.lock().is_down = is_down;
    }

    /// The next requests are refused because of their nonces.
    pub fn refuse_nonces(&self, count: usize) {
        self.shared.lock().bad_nonces = count;
    }

    /// Orders are refused with this problem, or accepted.
    pub fn refuse_orders(&self, refusal: Option<(u16, Value)>) {
        self.shared.lock().refusal = refusal;
    }

    /// Challenges fail with this detail, whatever is shown, or are looked at.
    pub fn disbelieve(&self, detail: Option<&'static str>) {
        self.shared.lock().disbelief = detail;
    }

    /// It knows no account any more.
    pub fn forget_accounts(&self) {
        let mut state = self.shared.lock();
        // The number stays taken.
        state.accounts.iter_mut().for_each(|account| account.key.clear());
    }

    /// The contacts of each account.
    pub fn accounts(&self) -> Vec<Vec<String>> {
        self.shared.lock().accounts.iter().map(|account| account.contact.clone()).collect()
    }

    /// The names of each order.
    pub fn orders(&self) -> Vec<Vec<String>> {
        let names = |order: &Order| order.proofs.iter().map(|proof| proof.name.clone()).collect();
        self.shared.lock().orders.iter().map(names).collect()
    }

    /// How often it was asked for this, like `POST /account`.
    pub fn count(&self, request: &str) -> usize {
        self.shared.lock().requests.iter().filter(|known| *known == request).count()
    }

    /// Waits until an order is open.
    pub fn wait_order(&self, nth: usize) {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, SOON, |state| state.orders.len() < nth).unwrap();
        assert!(!waited.1.timed_out(), "no order {nth}");
    }

    /// Fails if a client did what it must not do.
    pub fn assert_no_faults(&self) {
        let faults = self.shared.lock().faults.clone();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// Texts that nobody else may see: of the proofs of challenges.
    pub fn proofs(&self) -> Vec<String> {
        let state = self.shared.lock();
        let proofs = state.orders.iter().flat_map(|order| {
            let account = &state.accounts[order.account];
            order.proofs.iter().map(|proof| format!("{}.{}", proof.token, account.thumbprint))
        });
        proofs.collect()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

/// A response: status, the location of what was made, and body.
struct Reply(u16, Option<String>, Vec<u8>);

fn done(body: &Value) -> Reply {
    Reply(200, None, serde_json::to_vec(body).unwrap())
}

fn problem(status: u16, kind: &str, detail: &str) -> Reply {
    let body = json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status});
    Reply(status, None, serde_json::to_vec(&body).unwrap())
}

fn serve(shared: &Arc<Shared>, socket: TcpStream, config: Arc<ServerConfig>) {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), socket));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    let request = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    shared.lock().requests.push(request.clone());
    let (method, path) = request.split_once(' ').unwrap();
    let Reply(status, location, body) = match (method, path) {
        ("GET", "/directory") => done(&json!({
            "newNonce": shared.url("/nonce"), "newAccount": shared.url("/account"), "newOrder": shared.url("/order"),
            "meta": {"termsOfService": "https://terms.example/"}
        })),
        ("HEAD", "/nonce") => Reply(200, None, Vec::new()),
        ("POST", path) => {
            if header("content-type").as_deref() != Some("application/jose+json") {
                shared.lock().faults.push(format!("{request}: content type"));
            }
            post(shared, path, &body)
        }
        _ => problem(404, "malformed", "there is nothing"),
    };
    let kind = match status {
        400.. => "application/problem+json",
        _ => "application/json",
    };
    let nonce = {
        let mut state = shared.lock();
        state.made += 1;
        let nonce = BASE64.encode(format!("nonce {}", state.made).as_bytes());
        state.nonces.insert(nonce.clone());
        nonce
    };
    let location = location.map(|location| format!("Location: {location}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status} X\r\nReplay-Nonce: {nonce}\r\nContent-Type: {kind}\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let stream = stream.get_mut();
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// A signed request (RFC 8555, section 6.2).
fn post(shared: &Arc<Shared>, path: &str, body: &[u8]) -> Reply {
    let fault = |what: &str| {
        shared.lock().faults.push(format!("POST {path}: {what}"));
        problem(400, "malformed", what)
    };
    let Ok(jws) = serde_json::from_slice::<Value>(body) else { return fault("no JSON") };
    let part = |name: &str| BASE64.decode(jws[name].as_str()?.as_bytes()).ok();
    let (Some(protected), Some(payload), Some(signature)) = (part("protected"), part("payload"), part("signature"))
    else {
        return fault("no JWS");
    };
    let Ok(header) = serde_json::from_slice::<Value>(&protected) else { return fault("no header") };
    let nonce = header["nonce"].as_str().unwrap_or_default();
    {
        let mut state = shared.lock();
        let is_good = state.nonces.remove(nonce);
        if state.bad_nonces > 0 || !is_good {
            state.bad_nonces = state.bad_nonces.saturating_sub(1);
            return problem(400, "badNonce", "this nonce is not good");
        }
    }
    if header["alg"] != "ES256" || header["url"] != shared.url(path) {
        return fault("alg or url");
    }
    let account = match (path, header["jwk"].as_object(), header["kid"].as_str()) {
        ("/account", Some(jwk), None) => {
            let point = |name: &str| BASE64.decode(jwk[name].as_str().unwrap().as_bytes()).unwrap();
            let thumb = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
            let thumbprint = BASE64.encode(digest(&SHA256, thumb.as_bytes()).as_ref());
            let key = [&[4], point("x").as_slice(), point("y").as_slice()].concat();
            (None, Account { key, thumbprint, contact: Vec::new() })
        }
        (_, None, Some(kid)) => {
            let number = kid.rsplit('/').next().and_then(|number| number.parse::<usize>().ok());
            let known = number.and_then(|number| Some((number, shared.lock().accounts.get(number)?.clone())));
            match known.filter(|(_, account)| !account.key.is_empty()) {
                Some((number, account)) => (Some(number), account),
                None => return problem(400, "accountDoesNotExist", "who is that?"),
            }
        }
        _ => return fault("jwk and kid"),
    };
    let signed = format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap());
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &account.1.key);
    if key.verify(signed.as_bytes(), &signature).is_err() {
        return fault("signature");
    }
    let payload: Value = serde_json::from_slice(&payload).unwrap_or(Value::Null);
    let words: Vec<&str> = path.split('/').skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok());
    match (words[0], account.0, number(1), number(2)) {
        ("account", None, None, None) => open_account(shared, account.1, &payload),
        ("account", Some(own), Some(number), None) if own == number => {
            shared.lock().accounts[number].contact = texts(&payload["contact"]);
            done(&json!({"status": "valid"}))
        }
        ("order", Some(own), None, None) => open_order(shared, own, &payload),
        ("order", Some(own), Some(number), None) if is_of(shared, number, own) => {
            let mut state = shared.lock();
            state.orders[number].is_processing = false;
            done(&order(shared, &state.orders[number], number))
        }
        ("proof", Some(own), Some(number), Some(at)) if is_of(shared, number, own) => {
            let state = shared.lock();
            done(&proof(shared, &state.orders[number].proofs[at], number, at))
        }
        ("tls-alpn-01" | "http-01", Some(own), Some(number), Some(at)) if is_of(shared, number, own) => {
            let (validated, kind) = (shared.clone(), words[0].to_owned());
            thread::spawn(move || validate(&validated, &kind, number, at));
            let state = shared.lock();
            done(&challenge(shared, words[0], &state.orders[number].proofs[at], number, at))
        }
        ("finalize", Some(own), Some(number), None) if is_of(shared, number, own) => {
            let request = payload["csr"].as_str().and_then(|csr| BASE64.decode(csr.as_bytes()).ok());
            match request.and_then(|request| sign(shared, number, &request)) {
                Some(chain) => {
                    let mut state = shared.lock();
                    state.orders[number].chain = Some(chain);
                    state.orders[number].is_processing = true;
                    done(&order(shared, &state.orders[number], number))
                }
                None => fault("request for a certificate"),
            }
        }
        ("certificate", Some(own), Some(number), None) if is_of(shared, number, own) => {
            let chain = shared.lock().orders[number].chain.clone().unwrap();
            Reply(200, None, chain.into_bytes())
        }
        _ => fault("path"),
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn is_of(shared: &Shared, number: usize, account: usize) -> bool {
    shared.lock().orders.get(number).is_some_and(|order| order.account == account)
}

fn open_account(shared: &Shared, account: Account, payload: &Value) -> Reply {
    let mut state = shared.lock();
    if payload["termsOfServiceAgreed"] != true {
        return problem(403, "userActionRequired", "the terms");
    }
    let known = state.accounts.iter().position(|known| known.key == account.key);
    let number = known.unwrap_or_else(|| {
        state.accounts.push(Account { contact: texts(&payload["contact"]), ..account });
        state.accounts.len() - 1
    });
    let status = if known.is_some() { 200 } else { 201 };
    Reply(status, Some(shared.url(&format!("/account/{number}"))), br#"{"status": "valid"}"#.to_vec())
}

fn open_order(shared: &Shared, account: usize, payload: &Value) -> Reply {
    let mut state = shared.lock();
    if let Some((status, problem)) = &state.refusal {
        return Reply(*status, None, serde_json::to_vec(problem).unwrap());
    }
    let number = state.orders.len();
    let names = payload["identifiers"].as_array().unwrap().iter().map(|name| {
        assert_eq!(name["type"], "dns");
        name["value"].as_str().unwrap().to_owned()
    });
    let token = |at: usize| BASE64.encode(format!("token {number} {at} of the test").as_bytes());
    let proofs = names.enumerate().map(|(at, name)| Proof { name, token: token(at), result: None }).collect();
    state.orders.push(Order { account, proofs, chain: None, is_processing: false });
    shared.changed.notify_all();
    let body = order(shared, &state.orders[number], number);
    Reply(201, Some(shared.url(&format!("/order/{number}"))), serde_json::to_vec(&body).unwrap())
}

fn order(shared: &Shared, order: &Order, number: usize) -> Value {
    let results = || order.proofs.iter().map(|proof| proof.result.as_ref());
    let status = if order.chain.is_some() {
        if order.is_processing { "processing" } else { "valid" }
    } else if results().any(|result| result.is_some_and(Result::is_err)) {
        "invalid"
    } else if results().all(|result| result.is_some()) {
        "ready"
    } else {
        "pending"
    };
    let proofs: Vec<_> = (0..order.proofs.len()).map(|at| shared.url(&format!("/proof/{number}/{at}"))).collect();
    let names: Vec<_> = order.proofs.iter().map(|proof| json!({"type": "dns", "value": proof.name})).collect();
    let mut body = json!({
        "status": status, "identifiers": names, "authorizations": proofs, "finalize": shared.url(&format!("/finalize/{number}"))
    });
    if status == "valid" {
        body["certificate"] = json!(shared.url(&format!("/certificate/{number}")));
    }
    body
}

fn proof(shared: &Shared, proof: &Proof, number: usize, at: usize) -> Value {
    let challenges = ["http-01", "dns-01", "tls-alpn-01"].map(|kind| challenge(shared, kind, proof, number, at));
    let status = challenges[0]["status"].clone();
    json!({"status": status, "identifier": {"type": "dns", "value": proof.name}, "challenges": challenges})
}

fn challenge(shared: &Shared, kind: &str, proof: &Proof, number: usize, at: usize) -> Value {
    let status = match &proof.result {
        None => "pending",
        Some(Ok(())) => "valid",
        Some(Err(_)) => "invalid",
    };
    let url = shared.url(&format!("/{kind}/{number}/{at}"));
    let mut body = json!({"type": kind, "url": url, "token": proof.token, "status": status});
    // Only that one was tried.
    if let Some(Err(problem)) = &proof.result
        && kind != "dns-01"
    {
        body["error"] = problem.clone();
    }
    body
}

/// Looks whether the server proves the name, as soon as it is known where the name leads to.
fn validate(shared: &Shared, kind: &str, number: usize, at: usize) {
    let state = shared.changed.wait_while(shared.lock(), |state| state.target.is_none()).unwrap();
    let proof = &state.orders[number].proofs[at];
    let (target, name, token) = (state.target.unwrap(), proof.name.clone(), proof.token.clone());
    let authorization = format!("{token}.{}", state.accounts[state.orders[number].account].thumbprint);
    let disbelief = state.disbelief;
    drop(state);
    let found = match (disbelief, kind) {
        (Some(detail), _) => Err(detail.to_owned()),
        (None, "http-01") => fetched(target, &name, &token, &authorization),
        (None, _) => shaken(target, &name, digest(&SHA256, authorization.as_bytes()).as_ref()),
    };
    let result = found.map_err(|detail| json!({"type": "urn:ietf:params:acme:error:unauthorized", "detail": detail}));
    shared.lock().orders[number].proofs[at].result = Some(result);
    shared.changed.notify_all();
}

/// HTTP-01 (RFC 8555, section 8.3).
fn fetched(target: SocketAddr, name: &str, token: &str, authorization: &str) -> Result<(), String> {
    let mut socket = TcpStream::connect(target).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(SOON)).unwrap();
    let head = format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).map_err(|error| error.to_string())?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("no response")?;
    if head.starts_with("HTTP/1.1 200 ") && body == authorization { Ok(()) } else { Err(format!("found {response:?}")) }
}

/// TLS-ALPN-01 (RFC 8737).
fn shaken(target: SocketAddr, name: &str, digest: &[u8]) -> Result<(), String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Any(provider)));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let mut connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut socket = TcpStream::connect(target).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(SOON)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(|error| error.to_string())?;
    }
    if connection.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("another protocol".to_owned());
    }
    let leaf = connection.peer_certificates().unwrap()[0].as_ref();
    let has = |bytes: &[u8]| leaf.windows(bytes.len()).any(|part| part == bytes);
    // acmeIdentifier, critical, with an OCTET STRING of the digest; and a single dNSName.
    let identifier = [&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 1, 31, 1, 1, 0xff, 4, 0x22, 4, 0x20], digest].concat();
    let length = u8::try_from(name.len()).unwrap();
    let names = [&[0x30, length + 2, 0x82, length], name.as_bytes()].concat();
    if has(&identifier) && has(&names) { Ok(()) } else { Err("another certificate".to_owned()) }
}

/// Elements of DER one after the other: whole, and their contents.
fn elements(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let first = usize::from(*bytes.get(1)?);
        let digits = first.saturating_sub(128);
        let length = match digits {
            0 => first,
            _ => bytes.get(2..2 + digits)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let (element, rest) = bytes.split_at_checked(2 + digits + length)?;
        found.push((element, &element[2 + digits..]));
        bytes = rest;
    }
    Some(found)
}

/// The chain for a request (PKCS #10, RFC 2986) that signs itself, and is for the names of its order.
fn sign(shared: &Shared, number: usize, request: &[u8]) -> Option<String> {
    let (_, request) = elements(request)?.first().copied()?;
    let parts = elements(request)?;
    let [(info, fields), _, (_, signature)] = parts.as_slice() else { return None };
    let fields = elements(fields)?;
    let (_, key) = elements(fields.get(2)?.1)?.get(1).copied()?;
    // The first byte of a BIT STRING says how many bits are unused.
    let (key, signature) = (&key[1..], &signature[1..]);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(info, signature).ok()?;
    let state = shared.lock();
    let order = &state.orders[number];
    let has = |name: &str| {
        let name = [&[0x82, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
        info.windows(name.len()).any(|part| part == name)
    };
    let is_proven = |proof: &Proof| proof.result == Some(Ok(())) && has(&proof.name);
    if !order.proofs.iter().all(is_proven) {
        return None;
    }
    let names: Vec<_> = order.proofs.iter().map(|proof| proof.name.clone()).collect();
    let mut leaf = CertificateParams::new(names).unwrap();
    leaf.distinguished_name = DistinguishedName::new();
    let now = SystemTime::now();
    (leaf.not_before, leaf.not_after) = (now.into(), (now + state.lasts).into());
    let leaf = leaf.signed_by(&Requested(key.to_vec()), &shared.signs).unwrap();
    Some(format!("{}{}", leaf.pem(), shared.root))
}

/// Accepts each certificate: a validator looks at what it says.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    // rustls does not know the critical extension, and so no key of such a certificate.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
