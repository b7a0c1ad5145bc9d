use std::io;

/// Why native code of packages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NativesError {
    /// A file cannot be read.
    #[error("cannot read native code of `{package}`: {source}: `{path}`")]
    Read {
        /// The package.
        package: String,
        /// Its place in the image.
        path: String,
        /// What the system answered.
        source: io::Error,
    },
}
