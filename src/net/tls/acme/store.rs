//! The files of what comes by ACME: the account with its key, and the certificate with its key. Only the server may read them.

use crate::net::tls::certificate::{Files, TlsError, write};
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The folder of an authority.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

/// An account of an authority, as the file has it. Its key is a secret.
#[derive(Serialize, Deserialize)]
pub struct Account {
    /// How the authority reaches a person.
    pub contact: Vec<String>,
    /// Its address and key.
    pub credentials: AccountCredentials,
}

impl Store {
    /// The folder of the authority with this directory below that of the state.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(state: &Path, directory: &str) -> Result<Self, TlsError> {
        let folder = state.join("tls").join("acme").join(name_of(directory));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| TlsError::File { path: folder.clone(), error })?;
        Ok(Self { folder })
    }

    /// The file with the certificate and its key. Both are in one, so that no crash can leave one without the other.
    pub fn files(&self) -> Files {
        let path = self.certificate_file();
        Files::new(path.clone(), path)
    }

    /// Keeps a certificate, with those between it and its authority, and its key, both as PEM. Blocking.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep_certificate(&self, chain: &str, key: &str) -> Result<(), TlsError> {
        write(&self.certificate_file(), &format!("{}\n{chain}", key.trim_end()))
    }

    /// The account; `None` where there is none yet. Blocking.
    ///
    /// # Errors
    /// When there is one that cannot be read: another one would be made otherwise.
    pub fn account(&self) -> Result<Option<Account>, TlsError> {
        let path = self.account_file();
        let failed = |error| TlsError::File { path: path.clone(), error };
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                // What serde says may quote the key.
                failed(io::Error::other(format!("it is no account (line {})", error.line())))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Keeps an account. Blocking.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep_account(&self, account: &Account) -> Result<(), TlsError> {
        let path = self.account_file();
        let text = serde_json::to_string_pretty(account);
        let text = text.map_err(|error| TlsError::File { path: path.clone(), error: error.into() })?;
        write(&path, &(text + "\n"))
    }

    /// The authority knows another contact of the account. Blocking.
    ///
    /// # Errors
    /// See [`Self::account`].
    pub fn change_contact(&self, contact: &[String]) -> Result<(), TlsError> {
        let Some(account) = self.account()? else { return Ok(()) };
        self.keep_account(&Account { contact: contact.to_vec(), ..account })
    }

    /// The authority does not know the account any more: its file stays for a person, under another name. Blocking.
    ///
    /// # Errors
    /// What the system says.
    pub fn forget_account(&self) -> Result<(), TlsError> {
        let path = self.account_file();
        fs::rename(&path, path.with_extension("old")).map_err(|error| TlsError::File { path, error })
    }

    fn certificate_file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }
}

/// The name of the folder of a directory: its address, with what no name of a file can have as `_`.
fn name_of(directory: &str) -> String {
    let address = directory.split_once("://").map_or(directory, |(_, address)| address);
    let name = address.trim_end_matches('/').chars();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let name: String = name.map(|c| if is_plain(&c) { c.to_ascii_lowercase() } else { '_' }).take(200).collect();
    // Neither hidden nor a way out.
    format!("{}{name}", if name.starts_with('.') { "_" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn each_authority_has_a_folder() {
        let check = |directory: &str, expect: &str| assert_eq!(name_of(directory), expect, "{directory}");
        check("https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org_directory");
        check("https://ca.LAN:9000/acme/acme/directory/", "ca.lan_9000_acme_acme_directory");
        check("http://[::1]:14000/dir", "___1__14000_dir");
        check("https://../..", "_.._..");
        check("https://..", "_..");
    }

    #[test]
    fn files_are_for_the_server_only() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), "https://ca.example/directory").unwrap();
        assert!(store.account().unwrap().is_none());
        let credentials = r#"{"id": "https://ca.example/account/1", "key_pkcs8": "AAAA", "directory": "https://ca.example/directory"}"#;
        let credentials = serde_json::from_str(credentials).unwrap();
        store.keep_account(&Account { contact: vec!["mailto:a@b".to_owned()], credentials }).unwrap();
        store.keep_certificate("chain\n", "key\n").unwrap();
        assert_eq!(store.account().unwrap().unwrap().contact, ["mailto:a@b"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([store.account_file(), store.certificate_file()].map(|path| mode(&path)), [0o600; 2]);
        assert_eq!(mode(&store.folder), 0o700);
        assert_eq!(fs::read_to_string(store.certificate_file()).unwrap(), "key\nchain\n");
        store.forget_account().unwrap();
        assert!(store.account().unwrap().is_none());
        // One that is damaged is not replaced by another, and not quoted.
        fs::write(store.account_file(), "{\"contact\": [], \"credentials\": \"canary\"}").unwrap();
        let error = crate::telemetry::chain(&store.account().err().unwrap());
        assert!(
            error.contains("account.json") && error.contains("it is no account") && !error.contains("canary"),
            "{error}"
        );
    }
}
