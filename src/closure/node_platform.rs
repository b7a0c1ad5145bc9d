use crate::platform::Platform;
use crate::workspace::lockfiles::PlatformLimits;

/// A platform in the words of package.json files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodePlatform {
    /// As `process.platform` says it: `linux`
    pub os: String,
    /// As `process.arch` says it: `x64`
    pub cpu: String,
    /// `glibc` or `musl`; `None` where it is not known, so that packages for either stay
    pub libc: Option<String>,
}

impl NodePlatform {
    /// The platform of an image whose base has this C library.
    pub fn new(platform: &Platform, libc: Option<&str>) -> Self {
        Self { os: platform.os.clone(), cpu: node_cpu(platform).to_owned(), libc: libc.map(str::to_owned) }
    }

    /// Whether a package with these limits may be used on it.
    pub fn suits(&self, limits: &PlatformLimits) -> bool {
        limits.allow(&self.os, &self.cpu, self.libc.as_deref())
    }
}

/// The processor in the words of Node, which npm's `cpu` field uses. Source: Node's documentation, `process.arch`.
fn node_cpu(platform: &Platform) -> &str {
    match platform.architecture.as_str() {
        "amd64" => "x64",
        "386" => "ia32",
        "ppc64le" => "ppc64",
        other => other,
    }
}
