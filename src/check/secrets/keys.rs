//! Private keys, as texts of several kinds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::tokens::{Secret, is_base64, is_mixed};

/// `-----BEGIN ` in base64, as Kubernetes and CI have keys.
pub(super) const BEGIN_IN_BASE64: &str = "LS0tLS1CRUdJTi";

/// So far from its beginning is the first line of a key, behind its headers.
const FIRST_LINE: usize = 400;

/// `-----BEGIN … PRIVATE KEY-----` and a line of base64: code that only knows how keys begin is none.
pub(super) fn private_key(before: &[u8], text: &[u8], mark: &str) -> Option<Secret> {
    /// So long is a label at most, `-----BEGIN` included.
    const LABEL: usize = 32;
    const BEGIN: &[u8] = b"-----BEGIN";
    let label = &before[before.len().saturating_sub(LABEL)..];
    let kind = &label[label.windows(BEGIN.len()).rposition(|window| window == BEGIN)? + BEGIN.len()..];
    if !kind.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b' ') {
        return None;
    }
    let body = &text[mark.len()..];
    let end = body.windows(5).position(|window| window == b"-----").unwrap_or(body.len());
    has_line(&body[..end]).then_some(Secret::PrivateKey)
}

/// `PuTTY-User-Key-File-3: …` and a line of its private part; the public one comes before.
pub(super) fn of_putty(text: &[u8]) -> Option<Secret> {
    /// So far is it at most: keys of RSA with 16384 bits have 2.8 kB of a public part.
    const FAR: usize = 8192;
    const PRIVATE: &[u8] = b"Private-Lines:";
    let text = &text[..text.len().min(FAR)];
    let private = text.windows(PRIVATE.len()).position(|window| window == PRIVATE)?;
    has_line(&text[private..]).then_some(Secret::PrivateKey)
}

/// A private key that is written in base64 once more.
pub(super) fn in_base64(text: &[u8]) -> Option<Secret> {
    const MARKS: [&str; 2] = [" PRIVATE KEY-----", " PRIVATE KEY BLOCK-----"];
    let decoded = decoded(text, 2 * FIRST_LINE);
    MARKS.iter().find_map(|mark| {
        let at = decoded.windows(mark.len()).position(|window| window == mark.as_bytes())?;
        let (before, text) = decoded.split_at(at);
        private_key(before, text, mark)
    })
}

/// What a text begins with, read as base64 that may be broken into lines; of so many characters at most.
pub(super) fn decoded(text: &[u8], most: usize) -> Vec<u8> {
    let fits = text.iter().take_while(|byte| is_base64(**byte) || byte.is_ascii_whitespace());
    let mut text: Vec<u8> = fits.filter(|byte| !byte.is_ascii_whitespace()).take(most).copied().collect();
    // Four characters are three bytes; what is cut off behind them is none.
    text.truncate(match text.len() % 4 {
        1 => text.len() - 1,
        _ if text.len() == most => most / 4 * 4,
        _ => text.len(),
    });
    STANDARD_NO_PAD.decode(text).unwrap_or_default()
}

fn has_line(body: &[u8]) -> bool {
    let body = &body[..body.len().min(FIRST_LINE)];
    body.split(|byte| !is_base64(*byte)).any(|line| line.len() >= 40 && is_mixed(line))
}
