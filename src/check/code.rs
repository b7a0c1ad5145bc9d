use std::fmt;

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
    /// A file of code is not valid.
    SyntaxError,
}

impl Code {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::EntryPointMissing,
        Self::EntryPointUnreadable,
        Self::CommandNotFound,
        Self::BaseWithoutPrograms,
        Self::ImportMissing,
        Self::LazyImportMissing,
        Self::DataFileMissing,
        Self::SyntaxError,
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
            Self::SyntaxError => "syntax-error",
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
            Self::SyntaxError => "A file of code is not valid JavaScript",
        }
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
