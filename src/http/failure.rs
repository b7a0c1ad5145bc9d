//! How connections fail.

use std::error::Error as StdError;
use std::io;

use super::printable;

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens there.
    Refused,
    /// The host's name leads nowhere.
    Name,
    /// The TLS handshake or the certificate.
    Tls,
    /// The other side speaks no TLS, most likely plain HTTP.
    NotTls,
    /// Nothing came for too long.
    Silence,
    /// The connection broke.
    Broken,
}

impl Failure {
    /// The kind of this failure.
    pub fn of(error: &reqwest::Error) -> Self {
        for cause in causes(error) {
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                let foreign = matches!(tls, rustls::Error::InvalidMessage(_));
                return if foreign { Self::NotTls } else { Self::Tls };
            }
            match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::ConnectionRefused) => return Self::Refused,
                Some(io::ErrorKind::TimedOut) => return Self::Silence,
                _ if cause.to_string().contains("dns error") => return Self::Name,
                _ => {}
            }
        }
        if error.is_timeout() { Self::Silence } else { Self::Broken }
    }
}

/// The innermost cause in words, as one printable line.
pub fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), |cause| printable(&cause.to_string()))
}

/// The error and what caused it, outermost first; into I/O errors too, which hide what they wrap.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |cause| {
        let cause: &'a (dyn StdError + 'static) = *cause;
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => cause.source(),
        }
    })
}
