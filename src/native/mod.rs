//! Native code in packages: what a file needs of the machine that loads it, and whether an image's base has it.
//!
//! Nothing here knows where files lie: bytes come in, facts and reasons go out.

mod answers;
mod elf;
mod fit;
mod libraries;
mod variant;

pub use answers::LibraryAnswers;
pub use elf::{Binary, Elf, ForeignFormat, Libc, Library, read_binary, read_library};
pub use fit::{Fit, Misfit};
pub use libraries::{BaseLibraries, is_described_library};
pub use variant::{Variants, Verdict, is_candidate, names_a_platform, names_for};
