//! What can be typed. Types only; what they mean is in `commands`.

mod base;
mod build;

pub use base::{Base, BaseStatus, BaseUpdate, Rebase};
pub use build::{Build, BuildAndCheck, Check, Why};
use clap::{Args, Parser, Subcommand};

use crate::path::HostPath;
use crate::platform::Platform;
use crate::transfer::{CopyRequest, Place, PlaceError};

/// Minimal, reproducible OCI images of Node.js workspaces: one for each service, no Docker, no root, no RUN.
#[derive(Debug, Parser)]
#[command(name = "pirogue", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the images of a workspace's services and bring them to a registry or a directory
    Build(BuildAndCheck),
    /// Look whether the images would start; make none
    Check(Check),
    /// Print which layers the images would have, and what lies in them; make none
    Plan(Build),
    /// Say why the image of a service has a package, what it costs there, and who else has it
    Why(Why),
    /// Show a registry a user and a password, and keep them for later runs if it takes them
    Login(Login),
    /// Forget the user and the password for a registry
    Logout {
        /// The registry, such as ghcr.io or registry.example.com:5000
        #[arg(value_name = "HOST[:PORT]")]
        host: String,
    },
    /// Renew what pirogue.lock says of bases, or see which images lie on old ones
    Base {
        /// What to do.
        #[command(subcommand)]
        command: Base,
    },
    /// Move images that were pushed to another base, without their sources
    Rebase(Rebase),
    /// Copy an image between registries, layouts and archives, byte for byte
    Copy(Copy),
    /// Ask what a registry can do
    Registry {
        /// What to ask.
        #[command(subcommand)]
        command: Registry,
    },
    /// Look at what earlier builds left for later ones, or remove it
    Cache {
        /// What to do with it.
        #[command(subcommand)]
        command: Cache,
    },
}

/// `pirogue login`
#[derive(Debug, Args)]
pub struct Login {
    /// The registry, such as ghcr.io or registry.example.com:5000
    #[arg(value_name = "HOST[:PORT]")]
    pub host: String,

    /// The user
    #[arg(short, long, value_name = "NAME")]
    pub user: String,

    /// Read the password, or a token in its place, from standard input [default: ask for it on the terminal]
    #[arg(long)]
    pub password_stdin: bool,
}

/// `pirogue copy`
#[derive(Debug, Args)]
pub struct Copy {
    /// Where the image is: `HOST/REPOSITORY[:TAG][@DIGEST]`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
    /// `docker-archive:FILE[:REF]` or `docker-daemon:REF`
    #[arg(value_name = "SOURCE")]
    pub source: String,

    /// Where it goes, written the same way
    #[arg(value_name = "TARGET")]
    pub target: String,

    /// Of an index, the image for this platform alone, such as linux/arm64 [default: all of them]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// Copy what refers to the image too: signatures, SBOMs, attestations
    #[arg(long)]
    pub referrers: bool,

    /// Print what was done as one JSON document
    #[arg(long)]
    pub json: bool,

    /// Remember nothing: work in a temporary directory instead of the cache
    #[arg(long)]
    pub no_cache: bool,
}

impl Copy {
    /// The request that was typed.
    pub fn request(&self) -> Result<CopyRequest, PlaceError> {
        let here = HostPath::new("");
        Ok(CopyRequest {
            source: Place::parse(&self.source, &here)?,
            target: Place::parse_target(&self.target, &here)?,
            platform: self.platform.clone(),
            referrers: self.referrers,
        })
    }
}

/// `pirogue registry`
#[derive(Debug, Subcommand)]
pub enum Registry {
    /// Try out what a registry supports and whether you may push; leave nothing behind
    Check {
        /// The repository, `HOST/REPOSITORY`
        #[arg(value_name = "HOST/REPOSITORY")]
        repository: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// `pirogue cache`
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Print where the cache is and what it holds
    Info {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Remove what was not used for long, and the oldest of what is too much
    Gc {
        /// How much stays at most, such as 500M or 10G
        #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = bytes)]
        max_size: u64,
        /// How many days something stays without being used
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        max_age: u64,
    },
    /// Remove everything
    Clear,
}

/// A number of bytes, with k, M or G for thousands, millions and thousands of millions.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| "not a size such as 500M or 10G".to_owned())
}
