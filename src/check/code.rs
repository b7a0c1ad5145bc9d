use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What kind of finding it is. Its name never changes once it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The file that node shall start with is not in the image.
    EntryPointMissing,
    /// The user may not read the file that node shall start with.
    EntryPointUnreadable,
    /// The program that the container runs is not in the image.
    CommandNotFound,
    /// The base has no programs at all.
    BaseWithoutPrograms,
    /// Code that runs at the start asks for a module that is not there.
    ImportMissing,
    /// Code that may run later asks for a module that is not there.
    LazyImportMissing,
    /// Code names a file that is not there.
    DataFileMissing,
    /// A package lacks its native code.
    AddonMissing,
    /// A file of code is not valid.
    SyntaxError,
    /// Node takes a file for another kind of module than it is.
    WrongModuleKind,
    /// A file that is made to hold secrets.
    SecretFile,
    /// A file holds a secret.
    SecretInFile,
    /// A file names a directory of the build host.
    BuildHostPath,
    /// A program runs with the rights of its owner or group.
    SetuidFile,
    /// Every user may change it.
    WorldWritable,
    /// What is allowed is not there.
    AllowanceUnused,
    /// Code makes files where the user may not.
    DirectoryNotWritable,
    /// Code listens on another port than `PORT`.
    PortHardCoded,
    /// No route answers the health check.
    HealthPathUnknown,
    /// Two services want one port of the host.
    HostPortTaken,
    /// A service is told another's address with a wrong port.
    AddressWithWrongPort,
    /// A base's name stands for something newer than the lock has.
    BaseStale,
    /// The lock lacks a base.
    BaseNotLocked,
    /// The base has another Node than is asked for.
    EnginesMismatch,
    /// The base cannot load native code.
    NativeMisfit,
}

impl Code {
    /// All there are.
    pub const ALL: [Self; 25] = [
        Self::EntryPointMissing,
        Self::EntryPointUnreadable,
        Self::CommandNotFound,
        Self::BaseWithoutPrograms,
        Self::ImportMissing,
        Self::LazyImportMissing,
        Self::DataFileMissing,
        Self::AddonMissing,
        Self::SyntaxError,
        Self::WrongModuleKind,
        Self::SecretFile,
        Self::SecretInFile,
        Self::BuildHostPath,
        Self::SetuidFile,
        Self::WorldWritable,
        Self::AllowanceUnused,
        Self::DirectoryNotWritable,
        Self::PortHardCoded,
        Self::HealthPathUnknown,
        Self::HostPortTaken,
        Self::AddressWithWrongPort,
        Self::BaseStale,
        Self::BaseNotLocked,
        Self::EnginesMismatch,
        Self::NativeMisfit,
    ];

    /// Its name, as users meet it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EntryPointMissing => "entry-point-missing",
            Self::EntryPointUnreadable => "entry-point-unreadable",
            Self::CommandNotFound => "command-not-found",
            Self::BaseWithoutPrograms => "base-without-programs",
            Self::ImportMissing => "import-missing",
            Self::LazyImportMissing => "lazy-import-missing",
            Self::DataFileMissing => "data-file-missing",
            Self::AddonMissing => "addon-missing",
            Self::SyntaxError => "syntax-error",
            Self::WrongModuleKind => "wrong-module-kind",
            Self::SecretFile => "secret-file",
            Self::SecretInFile => "secret-in-file",
            Self::BuildHostPath => "build-host-path",
            Self::SetuidFile => "setuid-file",
            Self::WorldWritable => "world-writable",
            Self::AllowanceUnused => "allowance-unused",
            Self::DirectoryNotWritable => "directory-not-writable",
            Self::PortHardCoded => "port-hard-coded",
            Self::HealthPathUnknown => "health-path-unknown",
            Self::HostPortTaken => "host-port-taken",
            Self::AddressWithWrongPort => "address-with-wrong-port",
            Self::BaseStale => "base-stale",
            Self::BaseNotLocked => "base-not-locked",
            Self::EnginesMismatch => "engines-mismatch",
            Self::NativeMisfit => "native-misfit",
        }
    }

    /// What it means, in one sentence.
    pub fn summary(self) -> &'static str {
        match self {
            Self::EntryPointMissing => "The file that node shall start with is not in the image",
            Self::EntryPointUnreadable => "The image's user may not read the file that node shall start with",
            Self::CommandNotFound => "The program that the container runs is not in the image",
            Self::BaseWithoutPrograms => "The base image has no programs at all",
            Self::ImportMissing => "Code that runs at the start asks for a module that is not in the image",
            Self::LazyImportMissing => "Code that may run later asks for a module that is not in the image",
            Self::DataFileMissing => "Code names a file that is not in the image",
            Self::AddonMissing => "A package loads native code of its own and has none in the image",
            Self::SyntaxError => "A file of code is not valid JavaScript",
            Self::WrongModuleKind => "Node takes a file for an ES module or for CommonJS, and it is the other",
            Self::SecretFile => "A file that is made to hold secrets is in the image",
            Self::SecretInFile => "A file of the image holds a secret",
            Self::BuildHostPath => "A file names a directory of the machine that built it",
            Self::SetuidFile => "A program of the image runs with the rights of its owner or group",
            Self::WorldWritable => "Every user of the image may change a file or a directory",
            Self::AllowanceUnused => "pirogue.toml allows what is not there",
            Self::DirectoryNotWritable => "Code makes files where the image's user may not",
            Self::PortHardCoded => "Code listens on another port than the image says",
            Self::HealthPathUnknown => "No route of the code answers the health check",
            Self::HostPortTaken => "Two services want one port of the host",
            Self::AddressWithWrongPort => "A service is told another's address with a wrong port",
            Self::BaseStale => "The name of the base stands for another image than pirogue.lock says",
            Self::BaseNotLocked => "pirogue.lock does not say what the base stands for",
            Self::EnginesMismatch => "`engines` asks for another Node than the base has",
            Self::NativeMisfit => "The base cannot load native code of the image",
        }
    }

    /// Whether planning finds it, whatever becomes of the checks: it has settings of its own that accept it.
    pub fn is_of_plan(self) -> bool {
        matches!(self, Self::EnginesMismatch | Self::NativeMisfit)
    }
}

/// A text that names no code.
#[derive(Debug, thiserror::Error)]
#[error("names a code that no finding has, `{0}`")]
pub struct UnknownCode(pub String);

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|code| code.name() == text).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_name_it_is_written_with() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
