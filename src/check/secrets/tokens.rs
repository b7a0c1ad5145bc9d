//! Secrets that can be told by what they look like: each has a mark by which it is found, and a shape that is asked for
//! before it is believed.

use std::fmt;

use flate2::Crc;

use super::{keys, logins};

/// What a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    /// A private key as text (RFC 7468 and its predecessors).
    PrivateKey,
    /// A private key in the JSON document of a Google service account.
    GoogleServiceAccount,
    /// An access key of AWS with its secret.
    AwsKey,
    /// The secret of a client of Google's OAuth.
    GoogleClient,
    /// A token of DigitalOcean.
    DigitalOcean,
    /// The key of a storage account, bus or hub of Azure.
    AzureKey,
    /// A token of GitHub.
    GitHub,
    /// A token of GitLab.
    GitLab,
    /// A token of npm.
    Npm,
    /// A token or webhook of Slack.
    Slack,
    /// A live key of Stripe.
    Stripe,
    /// A token or password for a registry of packages.
    PackageRegistry,
    /// A password for a registry of images.
    ImageRegistry,
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateKey => "a private key",
            Self::GoogleServiceAccount => "the key of a Google service account",
            Self::AwsKey => "an access key of AWS with its secret",
            Self::GoogleClient => "the secret of a Google OAuth client",
            Self::DigitalOcean => "a token of DigitalOcean",
            Self::AzureKey => "an access key of Azure",
            Self::GitHub => "a token of GitHub",
            Self::GitLab => "a token of GitLab",
            Self::Npm => "a token of npm",
            Self::Slack => "a token of Slack",
            Self::Stripe => "a live key of Stripe",
            Self::PackageRegistry => "a password for a registry of packages",
            Self::ImageRegistry => "a password for a registry of images",
        })
    }
}

/// What confirms a secret: it is given the bytes before its mark, and those from there on.
type Confirm = fn(&[u8], &[u8]) -> Option<Secret>;

/// The marks. None begins within another.
/// Sources: GitHub, "Behind GitHub's new authentication token formats" and "Token expiration"; GitLab, "Token overview";
/// npm, "About access tokens"; Slack, "Tokens" and "Incoming webhooks"; Stripe, "API keys"; AWS, "Unique identifiers" of IAM;
/// Azure, "Configure Azure Storage connection strings"; Docker and DigitalOcean, their pages on personal access tokens;
/// PuTTY, "PPK file format"; RFC 9580 on OpenPGP's armor.
pub(super) const MARKS: [(&str, Confirm); 36] = [
    (" PRIVATE KEY-----", |before, text| keys::private_key(before, text, " PRIVATE KEY-----")),
    (" PRIVATE KEY BLOCK-----", |before, text| keys::private_key(before, text, " PRIVATE KEY BLOCK-----")),
    ("PuTTY-User-Key-File-", |_, text| keys::of_putty(text)),
    (keys::BEGIN_IN_BASE64, |_, text| keys::in_base64(text)),
    (logins::IN_BASE64, |_, text| logins::in_base64(text)),
    (logins::INDENTED_IN_BASE64, |_, text| logins::in_base64(text)),
    ("AKIA", aws),
    ("ASIA", aws),
    ("AccountKey=", |_, text| azure(text, "AccountKey=", 86, "==")),
    ("SharedAccessKey=", |_, text| azure(text, "SharedAccessKey=", 43, "=")),
    ("ghp_", github),
    ("gho_", github),
    ("ghu_", github),
    ("ghs_", github),
    ("ghr_", github),
    ("github_pat_", |before, text| {
        token(before, text, "github_pat_", |byte| is_word(byte) || byte == b'_', 82..=82).then_some(Secret::GitHub)
    }),
    ("glpat-", |before, text| gitlab(before, text, "glpat-")),
    ("gldt-", |before, text| gitlab(before, text, "gldt-")),
    ("glrt-", |before, text| gitlab(before, text, "glrt-")),
    ("glptt-", |before, text| gitlab(before, text, "glptt-")),
    ("npm_", |before, text| token(before, text, "npm_", is_word, 36..=36).then_some(Secret::Npm)),
    ("xoxb-", |before, text| slack(before, text, "xoxb-")),
    ("xoxp-", |before, text| slack(before, text, "xoxp-")),
    ("xoxa-", |before, text| slack(before, text, "xoxa-")),
    ("xoxr-", |before, text| slack(before, text, "xoxr-")),
    ("xoxs-", |before, text| slack(before, text, "xoxs-")),
    ("xoxe-", |before, text| slack(before, text, "xoxe-")),
    ("xapp-", |before, text| slack(before, text, "xapp-")),
    ("hooks.slack.com/services/", |_, text| webhook(text)),
    ("sk_live_", |before, text| token(before, text, "sk_live_", is_word, 24..=256).then_some(Secret::Stripe)),
    ("rk_live_", |before, text| token(before, text, "rk_live_", is_word, 24..=256).then_some(Secret::Stripe)),
    ("GOCSPX-", |before, text| token(before, text, "GOCSPX-", is_url_word, 28..=28).then_some(Secret::GoogleClient)),
    ("dckr_pat_", |before, text| {
        token(before, text, "dckr_pat_", is_url_word, 27..=27).then_some(Secret::ImageRegistry)
    }),
    ("dop_v1_", |before, text| digital_ocean(before, text, "dop_v1_")),
    ("doo_v1_", |before, text| digital_ocean(before, text, "doo_v1_")),
    ("dor_v1_", |before, text| digital_ocean(before, text, "dor_v1_")),
];

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Of base64 as URLs have it.
fn is_url_word(byte: u8) -> bool {
    is_word(byte) || byte == b'-' || byte == b'_'
}

pub(super) fn is_base64(byte: u8) -> bool {
    is_word(byte) || byte == b'+' || byte == b'/'
}

/// The bytes in front that fit.
pub(super) fn run(text: &[u8], fits: fn(u8) -> bool) -> &[u8] {
    &text[..text.iter().position(|byte| !fits(*byte)).unwrap_or(text.len())]
}

/// Whether it looks drawn by lot: small and large letters and digits, which placeholders do not have.
pub(super) fn is_mixed(text: &[u8]) -> bool {
    let has = |kind: fn(&u8) -> bool| text.iter().any(kind);
    has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)
}

/// Whether so many bytes of a kind follow the mark, and no word goes on before or behind.
fn token(
    before: &[u8],
    text: &[u8],
    mark: &str,
    fits: fn(u8) -> bool,
    lengths: std::ops::RangeInclusive<usize>,
) -> bool {
    let body = run(&text[mark.len()..], fits);
    !before.last().is_some_and(|byte| is_word(*byte)) && lengths.contains(&body.len()) && is_mixed(body)
}

/// The last six of a token are the CRC-32 of the others, in base 62.
fn github(before: &[u8], text: &[u8]) -> Option<Secret> {
    let body = run(&text["ghp_".len()..], is_word);
    let is_free = !before.last().is_some_and(|byte| is_word(*byte));
    let (random, checksum) = body.split_at_checked(body.len().checked_sub(6)?)?;
    (is_free && random.len() >= 30 && github_checksum(random) == *checksum).then_some(Secret::GitHub)
}

fn github_checksum(random: &[u8]) -> [u8; 6] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = Crc::new();
    crc.update(random);
    let mut rest = crc.sum();
    let mut checksum = [b'0'; 6];
    for digit in checksum.iter_mut().rev() {
        *digit = DIGITS[rest as usize % DIGITS.len()];
        rest /= 62;
    }
    checksum
}

fn gitlab(before: &[u8], text: &[u8], mark: &str) -> Option<Secret> {
    let fits = |byte| is_word(byte) || matches!(byte, b'_' | b'-' | b'.');
    token(before, text, mark, fits, 20..=300).then_some(Secret::GitLab)
}

fn slack(before: &[u8], text: &[u8], mark: &str) -> Option<Secret> {
    token(before, text, mark, |byte| is_word(byte) || byte == b'-', 40..=300).then_some(Secret::Slack)
}

/// 64 digits of base 16.
fn digital_ocean(before: &[u8], text: &[u8], mark: &str) -> Option<Secret> {
    let body = run(&text[mark.len()..], is_word);
    let is_free = !before.last().is_some_and(|byte| is_word(*byte));
    let has = |kind: fn(&u8) -> bool| body.iter().any(kind);
    let is_drawn = body.iter().all(u8::is_ascii_hexdigit) && has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase);
    (is_free && body.len() == 64 && is_drawn).then_some(Secret::DigitalOcean)
}

/// `T…/B…/` and 24 characters.
fn webhook(text: &[u8]) -> Option<Secret> {
    let path = run(&text["hooks.slack.com/services/".len()..], |byte| is_word(byte) || byte == b'/');
    let mut parts = path.split(|byte| *byte == b'/');
    let (team, bot, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let fits = team.starts_with(b"T") && bot.starts_with(b"B") && secret.len() == 24 && is_mixed(secret);
    fits.then_some(Secret::Slack)
}

/// An ID of an access key alone is no secret: beside it stands one, of 40 characters.
fn aws(before: &[u8], text: &[u8]) -> Option<Secret> {
    /// So near are the two, in bytes.
    const NEAR: usize = 256;
    let id = run(text, is_word);
    let is_id = id.len() == 20
        && !before.last().is_some_and(|byte| is_word(*byte))
        && id.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && !id.ends_with(b"EXAMPLE");
    let is_secret = |word: &[u8]| word.len() == 40 && is_mixed(word) && !word.ends_with(b"EXAMPLEKEY");
    let has_secret = |text: &[u8]| text.split(|byte| !is_base64(*byte)).any(is_secret);
    let (above, below) =
        (&before[before.len().saturating_sub(NEAR)..], text.get(id.len()..text.len().min(NEAR)).unwrap_or_default());
    (is_id && (has_secret(above) || has_secret(below))).then_some(Secret::AwsKey)
}

/// So many characters of base64 and their padding. That of Azure's emulators is in their documentation.
fn azure(text: &[u8], mark: &str, length: usize, padding: &str) -> Option<Secret> {
    const OF_EMULATORS: &[u8] = b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq";
    let text = &text[mark.len()..];
    let key = run(text, is_base64);
    let fits = key.len() == length && text[length..].starts_with(padding.as_bytes()) && is_mixed(key);
    (fits && !key.starts_with(OF_EMULATORS)).then_some(Secret::AzureKey)
}
