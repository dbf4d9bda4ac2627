//! JSON Web Tokens (RFC 7519), signed by a service that knows the users, and the keys that verify them (RFC 7517). Pure.
//!
//! The key decides which algorithm may be used, not the token: RSA (RS, PS), ECDSA (ES256, ES384) and Ed25519 (EdDSA). Symmetric
//! keys are not accepted, nor tokens without a signature.

use super::{
    action::{Action, Role},
    permission::{Pattern, Permission, Permissions},
    secret::Secret,
};
use aws_lc_rs::{
    digest,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest token.
const MAX_TOKEN: usize = 16 << 10;
/// Longest head of a token that is read to find a key.
const MAX_HEAD: usize = 4 << 10;
/// Longest file of keys.
pub const MAX_KEYS_FILE: usize = 256 << 10;
/// Most keys.
const MAX_KEYS: usize = 64;
/// Most permissions of a token.
const MAX_PERMISSIONS: usize = 256;
/// How far the clocks of the service and ours may be apart.
const LEEWAY: Duration = Duration::from_secs(30);

/// What a token must say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JwtRules {
    /// Who made it; anyone with a key without one.
    pub issuer: Option<String>,
    /// Who it is for; anyone without one.
    pub audience: Option<String>,
}

/// The keys that verify tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, where it says so.
    algorithm: Option<String>,
    material: Material,
    digest: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// What a token says of who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// The subject.
    pub name: String,
    /// What may be done.
    pub may: Permissions,
    /// When it ends.
    pub until: SystemTime,
    /// SHA-256 of the key that verified it.
    pub key: [u8; 32],
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// It is no token, or of no known key or algorithm, or the signature is wrong.
    #[error("the token is not valid")]
    Invalid,
    /// It has expired, or is not valid yet.
    #[error("the token has expired or is not valid yet")]
    Time,
    /// It is for another service, or made by one that is not configured.
    #[error("the token is for another service")]
    Foreign,
}

/// Why a file has no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is no JSON, or has no list `keys`.
    #[error("expected a JSON Web Key Set: {{\"keys\": [...]}}")]
    Json,
    /// It has none that can be used.
    #[error("it has no public key of RSA, P-256, P-384 or Ed25519 for signatures")]
    None,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys of other kinds are skipped, as RFC 7517 has it.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let json: Value = Some(json)
            .filter(|json| json.len() <= MAX_KEYS_FILE)
            .ok_or(KeySetError::Json)
            .and_then(|json| serde_json::from_slice(json).map_err(|_| KeySetError::Json))?;
        let keys = json.get("keys").and_then(Value::as_array).ok_or(KeySetError::Json)?;
        let keys: Vec<_> = keys.iter().take(MAX_KEYS).filter_map(Key::parse).collect();
        if keys.is_empty() { Err(KeySetError::None) } else { Ok(Self(keys)) }
    }

    /// Whether it has the key with this digest.
    pub fn has(&self, digest: &[u8; 32]) -> bool {
        self.0.iter().any(|key| key.digest == *digest)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a token names a key that is not among these.
    pub fn lacks_key_of(&self, token: &Secret) -> bool {
        let head =
            token.expose().split('.').next().filter(|head| head.len() <= MAX_HEAD).and_then(|head| object(head).ok());
        let id = head.as_ref().and_then(|head| text(head, "kid"));
        id.is_some_and(|id| !self.0.iter().any(|key| key.id.as_deref() == Some(id)))
    }

    /// Checks a token and reads what it says.
    ///
    /// # Errors
    /// See [`JwtError`].
    pub fn verify(&self, token: &Secret, rules: &JwtRules, now: SystemTime) -> Result<Jwt, JwtError> {
        let token = Some(token.expose()).filter(|token| token.len() <= MAX_TOKEN).ok_or(JwtError::Invalid)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Invalid)?;
        let (head, claims) = signed.split_once('.').ok_or(JwtError::Invalid)?;
        let (head, signature) = (object(head)?, decode(signature).ok_or(JwtError::Invalid)?);
        let algorithm = text(&head, "alg").ok_or(JwtError::Invalid)?;
        // Extensions that must be understood are not.
        if head.get("crit").is_some() {
            return Err(JwtError::Invalid);
        }
        let id = text(&head, "kid");
        let fits = |key: &&Key| id.is_none() || key.id.is_none() || key.id.as_deref() == id;
        let key = self.0.iter().filter(fits).find(|key| key.verifies(algorithm, signed.as_bytes(), &signature));
        let key = key.ok_or(JwtError::Invalid)?;
        // Only what is signed is read.
        let claims = object(claims)?;
        let until = time(&claims, "exp")?.ok_or(JwtError::Invalid)? + LEEWAY;
        if now >= until || time(&claims, "nbf")?.is_some_and(|from| now + LEEWAY < from) {
            return Err(JwtError::Time);
        }
        let is_from = |issuer: &String| text(&claims, "iss") == Some(issuer);
        let is_for = |audience: &String| match claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(audience)),
            _ => false,
        };
        if !(rules.issuer.as_ref().is_none_or(is_from) && rules.audience.as_ref().is_none_or(is_for)) {
            return Err(JwtError::Foreign);
        }
        let name = text(&claims, "sub").unwrap_or_default().chars().filter(|c| !c.is_control()).take(64).collect();
        Ok(Jwt { name, may: permissions(&claims), until, key: key.digest })
    }
}

impl Key {
    /// Reads a public key for signatures.
    fn parse(json: &Value) -> Option<Self> {
        let member = |name: &str| json.get(name)?.as_str();
        if member("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |name: &str| decode(member(name)?);
        let point = |length: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == length && y.len() == length).then(|| [&[4][..], &x, &y].concat())
        };
        let material = match (member("kty")?, member("crv")) {
            ("RSA", _) => {
                let significant = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
                let (modulus, exponent) = (significant(bytes("n")?), significant(bytes("e")?));
                let fits = (256..=1024).contains(&modulus.len()) && (1..=8).contains(&exponent.len());
                fits.then_some(Material::Rsa { modulus, exponent })?
            }
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        let all = match &material {
            Material::Rsa { modulus, exponent } => [&modulus[..], b"/", exponent].concat(),
            Material::P256(point) | Material::P384(point) | Material::Ed25519(point) => point.clone(),
        };
        let digest = digest::digest(&digest::SHA256, &all).as_ref().try_into().ok()?;
        Some(Self {
            id: member("kid").map(str::to_owned),
            algorithm: member("alg").map(str::to_owned),
            material,
            digest,
        })
    }

    fn verifies(&self, algorithm: &str, signed: &[u8], signature: &[u8]) -> bool {
        if self.algorithm.as_deref().is_some_and(|only| only != algorithm) {
            return false;
        }
        let by = |algorithm: &'static dyn VerificationAlgorithm, point: &Vec<u8>| {
            UnparsedPublicKey::new(algorithm, point).verify(signed, signature).is_ok()
        };
        match (&self.material, algorithm) {
            (Material::Rsa { modulus, exponent }, _) => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, signed, signature).is_ok()
            }),
            (Material::P256(point), "ES256") => by(&ECDSA_P256_SHA256_FIXED, point),
            (Material::P384(point), "ES384") => by(&ECDSA_P384_SHA384_FIXED, point),
            (Material::Ed25519(point), "EdDSA" | "Ed25519") => by(&ED25519, point),
            _ => false,
        }
    }
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// The claim `voyandz` is a permission or a list of them; else `mediamtx_permissions` is read. What is not understood permits
/// nothing.
fn permissions(claims: &Value) -> Permissions {
    let own = match claims.get("voyandz") {
        Some(Value::String(one)) => Some(vec![one.as_str()]),
        Some(Value::Array(all)) => Some(all.iter().filter_map(Value::as_str).collect()),
        _ => None,
    };
    if let Some(own) = own {
        let read = own.into_iter().take(MAX_PERMISSIONS).filter_map(|text| Permission::parse(text).ok());
        return Permissions::new(read.collect());
    }
    let listed = claims.get("mediamtx_permissions").and_then(Value::as_array);
    let listed = listed.into_iter().flatten().take(MAX_PERMISSIONS);
    Permissions::new(listed.flat_map(of_mediamtx).collect())
}

/// `{"action": "read", "path": "cam"}`; an empty path is any, and one with `~` is a regular expression, which permits nothing here.
fn of_mediamtx(json: &Value) -> Vec<Permission> {
    let path = text(json, "path").unwrap_or_default();
    let streams =
        if path.is_empty() { Some(Pattern::everything()) } else { Pattern::new(path).filter(|_| !path.contains('*')) };
    let Some(streams) = streams else { return Vec::new() };
    let of =
        |actions: &[Action]| actions.iter().map(|action| Permission::of_action(*action, streams.clone())).collect();
    match text(json, "action") {
        Some("read") => of(&[Action::View, Action::Still]),
        Some("playback") => of(&[Action::Playback]),
        Some("publish") => of(&[Action::Publish]),
        Some("metrics") => of(&[Action::Status]),
        // Theirs also changes the configuration, which is more than a path of media should permit here.
        Some("api") => vec![Permission::of_role(Role::Operator)],
        _ => Vec::new(),
    }
}

fn object(part: &str) -> Result<Value, JwtError> {
    let value: Option<Value> = decode(part).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.filter(Value::is_object).ok_or(JwtError::Invalid)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

fn text<'a>(json: &'a Value, name: &str) -> Option<&'a str> {
    json.get(name)?.as_str()
}

/// A time in seconds since 1970, which may have a fraction.
fn time(json: &Value, name: &str) -> Result<Option<SystemTime>, JwtError> {
    /// The year 9999: later times are a mistake.
    const MAX: f64 = 253_402_300_799.0;
    let Some(value) = json.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=MAX).contains(seconds)).ok_or(JwtError::Invalid)?;
    Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::{
        rand::SystemRandom,
        rsa::KeySize,
        signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        },
    };
    use proptest::prelude::*;
    use serde_json::json;

    fn encode(bytes: &[u8]) -> String {
        BASE64URL_NOPAD.encode(bytes)
    }

    struct Signer {
        key: EcdsaKeyPair,
    }

    impl Signer {
        fn new() -> Self {
            Self { key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
        }

        fn keys(&self, more: &Value) -> KeySet {
            let point = self.key.public_key().as_ref();
            let mut key = json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            KeySet::parse(json!({"keys": [{"kty": "oct", "k": "AAAA"}, key]}).to_string().as_bytes()).unwrap()
        }

        fn token(&self, head: &Value, claims: &Value) -> Secret {
            let signed = format!("{}.{}", encode(head.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
            let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            Secret::new(format!("{signed}.{}", encode(signature.as_ref())))
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn listed(jwt: &Jwt) -> Vec<String> {
        jwt.may.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tokens_say_who_and_what() {
        let signer = Signer::new();
        let keys = signer.keys(&json!({"kid": "a"}));
        let claims = json!({"sub": "anna\n", "exp": 1000, "voyandz": ["view cam*", "nonsense", "status"]});
        let token = signer.token(&json!({"alg": "ES256", "kid": "a"}), &claims);
        let jwt = keys.verify(&token, &JwtRules::default(), at(999)).unwrap();
        assert_eq!(
            (jwt.name.as_str(), jwt.until, listed(&jwt)),
            ("anna", at(1030), vec!["view cam*".to_owned(), "status".to_owned()])
        );
        assert!(keys.has(&jwt.key));
        let theirs = json!({"exp": 1000, "mediamtx_permissions": [
            {"action": "read", "path": "cam"}, {"action": "publish", "path": ""}, {"action": "read", "path": "~.*"}, {"action": "read", "path": "*"}]});
        let jwt = keys.verify(&signer.token(&json!({"alg": "ES256"}), &theirs), &JwtRules::default(), at(0)).unwrap();
        assert_eq!(listed(&jwt), ["view cam", "still cam", "publish"]);
    }

    #[test]
    fn what_is_not_right_is_refused() {
        let (signer, other) = (Signer::new(), Signer::new());
        let keys = signer.keys(&json!({"kid": "a"}));
        let rules = JwtRules { issuer: Some("https://id.example".to_owned()), audience: Some("tv".to_owned()) };
        let good = json!({"exp": 1000, "nbf": 100, "iss": "https://id.example", "aud": ["x", "tv"]});
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        let check = |token: &Secret, now: u64, expect: Result<(), JwtError>| {
            assert_eq!(keys.verify(token, &rules, at(now)).map(|_| ()), expect, "{}", token.expose());
        };
        let head = json!({"alg": "ES256", "kid": "a"});
        let signed = |claims: &Value| signer.token(&head, claims);
        check(&signed(&good), 500, Ok(()));
        check(&signed(&with("aud", json!("tv"))), 500, Ok(()));
        check(&signed(&good), 1029, Ok(()));
        check(&signed(&good), 1030, Err(JwtError::Time));
        check(&signed(&good), 69, Err(JwtError::Time));
        check(&signed(&with("iss", json!("https://evil.example"))), 500, Err(JwtError::Foreign));
        check(&signed(&with("aud", json!("radio"))), 500, Err(JwtError::Foreign));
        check(&signed(&with("aud", Value::Null)), 500, Err(JwtError::Foreign));
        for wrong in [json!("1000"), json!(-1), json!(1e300), Value::Null] {
            check(&signed(&with("exp", wrong)), 500, Err(JwtError::Invalid));
        }
        check(&other.token(&head, &good), 500, Err(JwtError::Invalid));
        for head in [
            json!({"alg": "none"}),
            json!({"alg": "HS256", "kid": "a"}),
            json!({"alg": "RS256", "kid": "a"}),
            json!({"alg": "ES384", "kid": "a"}),
            json!({"alg": "ES256", "kid": "b"}),
            json!({"alg": "ES256", "kid": "a", "crit": ["x"]}),
            json!({}),
        ] {
            check(&signer.token(&head, &good), 500, Err(JwtError::Invalid));
        }
        let token = signed(&good);
        let (parts, _) = token.expose().rsplit_once('.').unwrap();
        for wrong in
            [format!("{parts}."), parts.to_owned(), String::new(), "a.b.c".to_owned(), "x".repeat(MAX_TOKEN + 1)]
        {
            check(&Secret::new(wrong), 500, Err(JwtError::Invalid));
        }
        // HMAC by the public key, the classic confusion.
        let signed = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(good.to_string().as_bytes()));
        let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, signer.key.public_key().as_ref());
        let tag = aws_lc_rs::hmac::sign(&hmac, signed.as_bytes());
        check(&Secret::new(format!("{signed}.{}", encode(tag.as_ref()))), 500, Err(JwtError::Invalid));
        // A key for one algorithm, or for encryption, is for no other.
        let only = signer.keys(&json!({"alg": "ES256"}));
        assert!(only.verify(&token, &rules, at(500)).is_ok());
        assert_eq!(signer.keys(&json!({"alg": "ES384"})).verify(&token, &rules, at(500)), Err(JwtError::Invalid));
    }

    #[test]
    fn keys_of_other_kinds() {
        let claims = encode(br#"{"exp":1000,"voyandz":"view"}"#);
        let verify = |key: Value, signed: &str, signature: &[u8]| {
            let keys = KeySet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
            keys.verify(&Secret::new(format!("{signed}.{}", encode(signature))), &JwtRules::default(), at(0))
        };
        let signed = format!("{}.{claims}", encode(br#"{"alg":"EdDSA"}"#));
        let key = Ed25519KeyPair::generate().unwrap();
        let public = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref())});
        assert!(verify(public, &signed, key.sign(signed.as_bytes()).as_ref()).is_ok());
        let signed = format!("{}.{claims}", encode(br#"{"alg":"RS256"}"#));
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        // The key as DER: a sequence of the modulus, after nine bytes, and the exponent.
        let der = key.public_key().as_ref();
        let public = json!({"kty": "RSA", "n": encode(&der[8..265]), "e": encode(&[1, 0, 1])});
        assert!(verify(public.clone(), &signed, &signature).is_ok());
        signature[0] ^= 1;
        assert_eq!(verify(public, &signed, &signature), Err(JwtError::Invalid));
    }

    #[test]
    fn files_without_keys_are_refused() {
        let parse = |text: &str| KeySet::parse(text.as_bytes());
        assert_eq!(parse("x"), Err(KeySetError::Json));
        assert_eq!(parse("{}"), Err(KeySetError::Json));
        for none in [
            r#"{"keys": []}"#,
            r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#,
            r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#,
            r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, 1, null]}"#,
        ] {
            assert_eq!(parse(none), Err(KeySetError::None), "{none}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(token in "[A-Za-z0-9_.-]{0,80}", json in "[\\[\\]{}:,\"a-z0-9 ]{0,60}") {
            let _ = KeySet::parse(json.as_bytes());
            let signer = Signer::new();
            let found = signer.keys(&json!({})).verify(&Secret::new(token), &JwtRules::default(), at(0));
            prop_assert!(found.is_err());
        }
    }
}
