use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::misbehaving::{Answer, Asked, Misbehaving};

/// The user whom the server knows, and the password, as they stand in a request: `anna:secret`.
const ANNA: &str = "Basic YW5uYTpzZWNyZXQ=";

/// A small token service, whose tokens a real registry takes: it lets everybody pull, and `anna` with the password
/// `secret` push.
pub struct TokenServer {
    pub server: Misbehaving,
    /// The certificate that its tokens are signed under.
    pub certificate: PathBuf,
    /// By how many seconds the next tokens have ended when they are made.
    pub late: Arc<AtomicI64>,
    _folder: TempDir,
}

impl TokenServer {
    /// Starts one whose clock goes `ahead` of everybody's, as far as its answers tell.
    pub fn start(ahead: i64) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let key = KeyPair::generate().expect("a key can be made");
        let made = CertificateParams::default().self_signed(&key).expect("a certificate can be made");
        let certificate = folder.path().join("tokens.pem");
        fs::write(&certificate, made.pem()).expect("a temporary folder can be written");
        let late = Arc::new(AtomicI64::new(0));
        let (signer, lateness) = (Signer::new(&key, made.der()), Arc::clone(&late));
        let server = Misbehaving::start(move |asked| {
            let known = match asked.header("authorization") {
                "" => false,
                ANNA => true,
                _ => return Answer::new(401).body(r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#),
            };
            let now = now();
            let token = signer.token(asked, known, now - lateness.swap(0, Ordering::SeqCst));
            let clock = UNIX_EPOCH + Duration::from_secs(u64::try_from(now + ahead).expect("it is not 1970"));
            let issued = jiff::Timestamp::try_from(clock).expect("a time");
            let body = json!({"token": token, "expires_in": 300, "issued_at": issued.to_string()});
            Answer::new(200).header("Date", httpdate::fmt_http_date(clock)).body(body.to_string())
        });
        Self { server, certificate, late, _folder: folder }
    }

    /// Where tokens are had.
    pub fn realm(&self) -> String {
        format!("http://{}/token", self.server.host())
    }

    /// The scopes of the tokens so far.
    pub fn scopes(&self) -> Vec<Vec<String>> {
        self.server.asked().iter().map(scopes).collect()
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_secs()).expect("it is not the end of days")
}

fn scopes(asked: &Asked) -> Vec<String> {
    let url: Url = format!("http://t{}", asked.target).parse().expect("a URL");
    url.query_pairs().filter(|(name, _)| name == "scope").map(|(_, scope)| scope.into_owned()).collect()
}

struct Signer {
    key: EcdsaKeyPair,
    certificate: String,
}

impl Signer {
    fn new(key: &KeyPair, certificate: &[u8]) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random);
        Self { key: key.expect("it is a key of that kind"), certificate: STANDARD.encode(certificate) }
    }

    /// A JSON Web Token for what was asked, as far as it is allowed.
    fn token(&self, asked: &Asked, known: bool, now: i64) -> String {
        let access: Vec<Value> = scopes(asked).iter().filter_map(|scope| granted(scope, known)).collect();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let claims = json!({"iss": "tests", "sub": "anna", "aud": "registry", "exp": now + 300, "nbf": now - 3600,
            "iat": now, "jti": "1", "access": access});
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a text can be signed");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn granted(scope: &str, known: bool) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let actions: Vec<&str> = actions.split(',').filter(|action| known || *action == "pull").collect();
    Some(json!({"type": kind, "name": name, "actions": actions}))
}
