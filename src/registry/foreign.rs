//! Layers that lie elsewhere than in the registry: their manifest has addresses of them.
//!
//! Whoever wrote the manifest chose the addresses, so requests to them carry nothing that is secret (CVE-2020-15157), and
//! never go to this machine or into a private network, unless to the registry's own host. What comes is verified.
//!
//! Source: OCI image-spec, `descriptor.md`, property `urls`.

use reqwest::Method;
use tokio::io::AsyncWrite;
use url::Url;

use super::transport::Request;
use super::{Client, RegistryError, RegistryHost};
use crate::http::{is_private, redacted};
use crate::manifest::Descriptor;

/// Fewer addresses than this are tried; real layers have one.
const ADDRESS_LIMIT: usize = 10;

impl Client {
    /// Fetches a blob from the first of its own addresses that gives it.
    pub(super) async fn foreign_blob(
        &self,
        registry: &RegistryHost,
        descriptor: &Descriptor,
        sink: &mut (impl AsyncWrite + Unpin + Send),
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let own = self.transport.base_url(registry)?;
        let mut failure = None;
        for address in descriptor.urls.iter().take(ADDRESS_LIMIT) {
            let Ok(url) = Url::parse(address) else { continue };
            let mut request = Request::new(Method::GET, url);
            request.stranger_to = Some(own.clone());
            match self.blob_at(request, descriptor, sink, on_bytes).await {
                // The sink holds something then, so that no other address can be tried.
                Err(error) if error.exchange().is_some() || matches!(error, RegistryError::UnsafeLocation { .. }) => {
                    failure = Some(error);
                }
                outcome => return outcome,
            }
        }
        Err(failure.unwrap_or_else(|| RegistryError::not_a_registry(&own, "a layer's addresses are no URLs")))
    }
}

/// Checks an address that a manifest names, or to which such an address leads, before it is asked: by the names in it. The
/// numbers that a name stands for are checked when it is looked up.
pub(super) fn check(url: &Url, own: &Url) -> Result<(), RegistryError> {
    let is_web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    match is_web && (url.host() == own.host() || !is_private(url)) {
        true => Ok(()),
        false => Err(RegistryError::UnsafeLocation { url: redacted(url) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let own: Url = "http://127.0.0.1:5000/v2/".parse().unwrap();
        let table = [
            ("https://mcr.example.com/layer", true),
            ("http://example.com/layer", true),
            ("http://127.0.0.1:6000/layer", true),
            ("http://127.0.0.2/layer", false),
            ("http://localhost/layer", false),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://[::ffff:169.254.169.254]/", false),
            ("http://100.100.100.200/latest/meta-data", false),
            ("http://10.0.0.1/", false),
            ("http://[fd00:ec2::254]/", false),
            ("file:///etc/passwd", false),
        ];
        for (url, expected) in table {
            assert_eq!(check(&url.parse().unwrap(), &own).is_ok(), expected, "{url}");
        }
    }
}
