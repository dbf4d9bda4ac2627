//! Certificates by ACME: from an authority that the test plays, without a restart, and without a viewer that notices.

use crate::rig::{
    Launch, SOON, Server, acme::Authority, have, have_failpoints, http, script::shell, secs, tls, wait_until,
};
use serde_json::json;
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

const NAME: &str = "cam.example.test";
const DAY: u64 = 86_400;

/// A server before its start, and where it keeps its state.
struct Site {
    authority: Authority,
    folder: tempfile::TempDir,
}

impl Site {
    /// With an authority whose certificates last so many seconds.
    fn new(lasts: u64) -> Self {
        let site = Self { authority: Authority::new(secs(lasts)), folder: tempfile::tempdir().unwrap() };
        fs::write(site.folder.path().join("trust.pem"), &site.authority.trust).unwrap();
        site
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A stream of ticks, and certificates for these names by ACME.
    fn yaml(&self, names: &str, more: &str) -> String {
        let ticks = shell("while echo tick; do sleep 0.05; done");
        format!(
            "statedir: '{}'\nfeeds:\n  ticks: {{command: {ticks}}}\n\
             streams:\n  ticks.raw: {{feed: ticks, container: raw}}\n\
             tls: {{plain: all, acme: {{names: [{names}], accept_terms: true, directory: '{}', authority: '{}'{more}}}}}\n",
            self.state().display(),
            self.authority.directory(),
            self.folder.path().join("trust.pem").display()
        )
    }

    /// A server that tries again soon after a failure.
    fn launch(&self, yaml: &str) -> Launch {
        Launch::new(yaml).env("FAILPOINTS", "acme-pause=return(20)")
    }

    fn trusts(&self, address: SocketAddr, name: &str) -> bool {
        tls::connect(address, name, self.authority.root()).is_ok()
    }

    fn wait_trusted(&self, server: &Server, name: &str) {
        wait_until("the certificate serves", SOON, || self.trusts(server.address(), name));
    }

    /// The files that are kept.
    fn kept(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.state().join("tls/acme")).unwrap();
        let folders = folders.map(|folder| folder.unwrap().path());
        let mut files: Vec<_> =
            folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn has_ticks(bytes: &[u8]) -> bool {
    bytes.windows(5).filter(|part| part == b"tick\n").count() > 3
}

fn orders(server: &Server) -> [u64; 2] {
    let metrics = server.get("/metrics").text();
    ["obtained", "failed"].map(|result| {
        let series = format!("voyandz_certificate_orders_total{{result=\"{result}\"}} ");
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(&series))
            .unwrap_or_else(|| panic!("{metrics}"))
            .parse()
            .unwrap()
    })
}

fn expires(server: &Server) -> u64 {
    let metrics = server.get("/metrics").text();
    let value = metrics.lines().find_map(|line| line.strip_prefix("voyandz_certificate_expires_seconds "));
    value.unwrap().parse().unwrap()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_certificate_serves_without_a_restart() {
    // Not as long as the one that it has until then.
    let site = Site::new(60 * DAY);
    let yaml = site.yaml(NAME, ", contact: 'mailto:a@b.example'");
    let server = site.launch(&yaml).start();
    // Until there is one the server has one that nobody trusts, and serves.
    let mut viewer = server.get("/ticks.raw");
    viewer.piece(SOON);
    site.authority.wait_order(1);
    assert!(!site.trusts(server.address(), NAME));
    // Another configuration does not disturb the order, nor begin another one.
    server.reload(&format!("{yaml}files: /srv\n"));
    site.authority.lead_to(server.address());
    let line = server.log.wait("certificate obtained", SOON);
    assert!(line.contains(NAME), "{line}");
    site.wait_trusted(&server, NAME);
    let mut encrypted = tls::connect(server.address(), NAME, site.authority.root()).unwrap();
    assert_eq!(encrypted.get("/ticks.raw", "").0, 200);
    encrypted.take_until(has_ticks);
    viewer.piece(SOON);
    assert_eq!((orders(&server), server.get("/readyz").text()), ([1, 0], "ready\n".to_owned()));
    let now = now();
    wait_until("its end is known", SOON, || expires(&server).abs_diff(now + 60 * DAY) < 60);
    assert_eq!(site.authority.orders(), [[NAME]]);
    assert_eq!(site.authority.accounts(), [["mailto:a@b.example"]]);
    // No challenge is met any more.
    if have("openssl") {
        let mut validator = Command::new("openssl");
        validator.args(["s_client", "-alpn", "acme-tls/1", "-servername", NAME, "-connect"]);
        let output = validator.arg(server.address().to_string()).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains("alert") && !said.contains("BEGIN CERTIFICATE"), "{said}");
    }
    // What is secret is in files for the server, and nowhere else.
    let kept = site.kept();
    let names: Vec<_> = kept.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["account.json", "certificate.pem"]);
    assert!(kept.iter().all(|file| mode(file) == 0o600 && mode(file.parent().unwrap()) == 0o700));
    let account: serde_json::Value = serde_json::from_str(&fs::read_to_string(&kept[0]).unwrap()).unwrap();
    let pem = fs::read_to_string(&kept[1]).unwrap();
    let key = pem.lines().nth(1).unwrap();
    let mut secrets = vec![account["credentials"]["key_pkcs8"].as_str().unwrap().to_owned(), key.to_owned()];
    secrets.extend(site.authority.proofs());
    let shown = [server.log.text(), server.get("/metrics").text(), server.get("/stat.json").text()].concat();
    for secret in secrets {
        assert!(secret.len() > 20 && !shown.contains(&secret), "{secret}");
    }
    site.authority.assert_no_faults();
}

#[test]
fn a_certificate_is_renewed_under_viewers() {
    // Renewed when two thirds are over.
    let site = Site::new(9);
    let server = site.launch(&site.yaml(&format!("{NAME}, b.example.test"), "")).start();
    site.authority.lead_to(server.address());
    site.wait_trusted(&server, NAME);
    let opened = || {
        let mut viewer = tls::connect(server.address(), "b.example.test", site.authority.root()).unwrap();
        assert_eq!(viewer.get("/ticks.raw", "").0, 200);
        viewer
    };
    let mut viewers: Vec<_> = (0..10).map(|_| opened()).collect();
    // Until the first one it has one that lasts for months.
    wait_until("its end is known", SOON, || expires(&server) < now() + 60);
    let before = expires(&server);
    for nth in [2, 3] {
        server.log.wait_nth("certificate obtained", nth, SOON);
        server.log.wait_nth("certificate renewed", nth, SOON);
        viewers.push(opened());
        for viewer in &mut viewers {
            viewer.taken();
            viewer.take_until(has_ticks);
        }
    }
    wait_until("the end is another one", SOON, || expires(&server) > before);
    assert_eq!(orders(&server)[1], 0);
    assert_eq!((site.authority.accounts().len(), server.log.count("certificate not obtained")), (1, 0));
    site.authority.assert_no_faults();
}

#[test]
fn account_and_certificate_survive_a_restart() {
    let site = Site::new(90 * DAY);
    let mut server = site.launch(&site.yaml(NAME, "")).start();
    site.authority.lead_to(server.address());
    site.wait_trusted(&server, NAME);
    server.terminate();
    server.wait(secs(12));
    let server = site.launch(&site.yaml(NAME, "")).start();
    assert!(site.trusts(server.address(), NAME), "from the first connection on");
    assert_eq!(site.authority.orders().len(), 1);
    // Another name needs another certificate, by the same account. Until it is there the one of before serves.
    site.authority.lead_to(server.address());
    let more = format!("{NAME}, new.example.test");
    server.reload(&site.yaml(&more, ", contact: ['mailto:a@b.example', 'mailto:c@d.example']"));
    assert!(site.trusts(server.address(), NAME));
    site.wait_trusted(&server, "new.example.test");
    assert_eq!(site.authority.orders().len(), 2);
    assert_eq!(site.authority.accounts(), [["mailto:a@b.example", "mailto:c@d.example"]]);
    // Opened once, changed once.
    assert_eq!(["POST /account", "POST /account/0"].map(|request| site.authority.count(request)), [1, 1]);
    // One without a certificate of its own has nothing to do with it.
    server.reload(&site.yaml(&more, ", contact: ['mailto:a@b.example', 'mailto:c@d.example']").replace("tls:", "#"));
    assert!(!site.trusts(server.address(), NAME));
    assert!(!server.get("/metrics").text().contains("voyandz_certificate"));
    site.authority.assert_no_faults();
}

#[test]
fn a_server_starts_and_serves_while_the_directory_is_down() {
    if !have_failpoints() {
        return;
    }
    let site = Site::new(90 * DAY);
    site.authority.set_down(true);
    let server = site.launch(&site.yaml(NAME, "")).start();
    site.authority.lead_to(server.address());
    let mut viewer = server.get("/ticks.raw");
    viewer.piece(SOON);
    let line = server.log.wait_nth("WARN certificate not obtained", 3, SOON);
    let host = site.authority.address().to_string();
    assert!(line.contains("cannot open an account") && line.contains(&host) && line.contains(" next="), "{line}");
    assert_eq!(server.get("/readyz").text(), "degraded\n");
    assert!(server.get("/readyz?verbose").text().contains("no certificate by ACME"));
    assert!(
        tls::connect(server.address(), NAME, site.authority.root()).is_err_and(|error| error.contains("certificate"))
    );
    site.authority.set_down(false);
    site.wait_trusted(&server, NAME);
    assert_eq!(server.get("/readyz").text(), "ready\n");
    let [obtained, failed] = orders(&server);
    assert!(obtained == 1 && failed >= 3, "{failed}");
    viewer.piece(SOON);
    site.authority.assert_no_faults();
}

#[test]
fn what_the_authority_says_is_in_the_log() {
    if !have_failpoints() {
        return;
    }
    let site = Site::new(90 * DAY);
    let kind = |kind: &str| format!("urn:ietf:params:acme:error:{kind}");
    let refusal = json!({
        "type": kind("rejectedIdentifier"), "detail": "policy forbids\nINFO forged a line",
        "subproblems": [{"type": kind("caa"), "detail": "CAA says no", "identifier": {"type": "dns", "value": NAME}}]
    });
    site.authority.refuse_orders(Some((403, refusal)));
    site.authority.disbelieve(Some("nobody listens on port 443"));
    let server = site.launch(&site.yaml(NAME, "")).start();
    site.authority.lead_to(server.address());
    let line = server.log.wait("certificate not obtained", SOON);
    for part in [
        "cannot order a certificate: the authority says: policy forbids",
        "(rejectedIdentifier)",
        "cam.example.test: CAA says no (caa)",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(server.log.count("^INFO forged"), 0);
    // It is proven, and not believed.
    site.authority.refuse_orders(None);
    let line = server.log.wait("certificate not obtained.*could not validate", SOON);
    assert!(line.contains("cam.example.test: nobody listens on port 443 (unauthorized)"), "{line}");
    // Tokens that are not of an open order are nothing that this server has.
    site.authority.disbelieve(None);
    site.wait_trusted(&server, NAME);
    site.authority.assert_no_faults();
}

#[test]
fn nonces_that_are_refused_are_tried_again() {
    let site = Site::new(90 * DAY);
    site.authority.refuse_nonces(2);
    let server = site.launch(&site.yaml(NAME, "")).start();
    site.authority.lead_to(server.address());
    site.wait_trusted(&server, NAME);
    assert_eq!((orders(&server), server.log.count("certificate not obtained")), ([1, 0], 0));
    assert_eq!(site.authority.accounts().len(), 1);
    site.authority.assert_no_faults();
}

#[test]
fn an_account_that_the_authority_forgot_is_opened_again() {
    if !have_failpoints() {
        return;
    }
    let site = Site::new(90 * DAY);
    let server = site.launch(&site.yaml(NAME, "")).start();
    site.authority.lead_to(server.address());
    site.wait_trusted(&server, NAME);
    site.authority.forget_accounts();
    server.reload(&site.yaml("other.example.test", ""));
    site.wait_trusted(&server, "other.example.test");
    let line = server.log.wait("certificate not obtained", SOON);
    assert!(line.contains("accountDoesNotExist"), "{line}");
    assert_eq!(site.authority.accounts().len(), 2);
    assert!(site.kept().iter().any(|file| file.ends_with("account.old") && mode(file) == 0o600));
    site.authority.assert_no_faults();
}

#[test]
fn names_are_proven_by_files_too() {
    let site = Site::new(90 * DAY);
    let yaml = site.yaml(NAME, ", challenge: http-01").replace("plain: all", "plain: none");
    // Whatever rules there are: a validator proves nothing, and asks without encryption.
    let yaml = format!("{yaml}auth: {{anyone: [], names: [other.example]}}\n");
    let server = site.launch(&yaml).start();
    site.authority.wait_order(1);
    let file = |token: &str| http::get(server.address(), &format!("/.well-known/acme-challenge/{token}")).status;
    assert_eq!(file("unknown"), 403);
    site.authority.lead_to(server.address());
    site.wait_trusted(&server, NAME);
    let token = site.authority.proofs()[0].split('.').next().unwrap().to_owned();
    assert_eq!(file(&token), 403, "only while the order is open");
    site.authority.assert_no_faults();
}

#[test]
fn a_server_without_a_folder_for_its_state_says_so() {
    let site = Site::new(90 * DAY);
    let yaml = site.yaml(NAME, "");
    let yaml: String =
        yaml.lines().filter(|line| !line.starts_with("statedir")).map(|line| format!("{line}\n")).collect();
    let mut server = Launch::new(&yaml).spawn();
    assert!(!server.wait(SOON).success());
    let text = server.log.text();
    assert!(
        text.contains("`tls.acme` needs a folder that keeps its account and certificates: set `statedir`"),
        "{text}"
    );
    // Nor does a reload.
    let server = Server::start("");
    let line = server.reload(&yaml);
    assert!(line.contains("unchanged") && line.contains("set `statedir`"), "{line}");
    assert_eq!(site.authority.count("GET /directory"), 0);
    // With one it has what it needs.
    site.authority.lead_to(server.address());
    server.reload(&site.yaml(NAME, ""));
    site.wait_trusted(&server, NAME);
    site.authority.assert_no_faults();
}

#[test]
fn a_directory_that_nobody_vouches_for_gets_no_account() {
    if !have_failpoints() {
        return;
    }
    let site = Site::new(90 * DAY);
    let trust = site.folder.path().join("trust.pem");
    fs::write(&trust, site.authority.root()).unwrap();
    let server = site.launch(&site.yaml(NAME, "")).start();
    site.authority.lead_to(server.address());
    let line = server.log.wait("certificate not obtained", SOON);
    assert!(line.contains("invalid peer certificate"), "{line}");
    fs::remove_file(&trust).unwrap();
    server.log.wait("certificate not obtained.*cannot read the authorities that vouch for", SOON);
    assert!(site.authority.accounts().is_empty());
    // The file is read with each try.
    fs::write(&trust, &site.authority.trust).unwrap();
    site.wait_trusted(&server, NAME);
    site.authority.assert_no_faults();
}
