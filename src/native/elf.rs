//! What the headers of a file of native code say. Only the parts that say it are read, and no more of them than
//! [`READ_LIMIT`] bytes, whatever the file claims.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionTable, Sym as _};
use object::{Endianness, ReadCache, ReadRef};
use serde::{Deserialize, Serialize};

/// The most bytes that are read of one file. The tables of the largest addons have a few megabytes.
const READ_LIMIT: u64 = 64 << 20;

/// The most versions of symbols that are looked at: real files need or define a few hundred at most.
const MOST_VERSIONS: usize = 10_000;

/// The longest name of a library, symbol or path that is kept.
const NAME_LIMIT: usize = 4096;

/// A file, as far as its first bytes and headers tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Binary {
    /// Code for Linux or another system that uses ELF.
    Elf(Elf),
    /// Code for a system whose files Linux does not load.
    Foreign(ForeignFormat),
    /// It begins as ELF, but its tables contradict each other.
    Damaged,
    /// No native code: a script, a text.
    None,
}

/// A format of native code that Linux does not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForeignFormat {
    /// Mach-O, alone or for several processors.
    MacOs,
    /// PE.
    Windows,
}

/// A C library, by its name in npm's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Libc {
    /// GNU's.
    Glibc,
    /// That of Alpine.
    Musl,
    /// That of Android.
    Bionic,
}

impl Libc {
    /// The library of this name, which package.json files use.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "glibc" => Some(Self::Glibc),
            "musl" => Some(Self::Musl),
            _ => None,
        }
    }
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
            Self::Bionic => "Android's C library",
        })
    }
}

/// What an ELF file needs where it is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elf {
    /// The processor, as `process.arch` says it; `machine NUMBER` for one that Node does not run on.
    pub cpu: String,
    /// `PT_INTERP`: the loader that a program names.
    pub interpreter: Option<String>,
    /// `DT_NEEDED`: the libraries it wants, in the order in which they are looked for.
    pub needed: Vec<String>,
    /// `.gnu.version_r`: by library, the versions of its symbols that are needed, such as `GLIBC_2.34`.
    pub versions: BTreeMap<String, BTreeSet<String>>,
    /// Symbols that have to come from glibc: undefined, not weak, with a version whose name begins with `GLIBC_`.
    pub glibc_symbols: BTreeSet<String>,
}

/// What a library of a base offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// `.gnu.version_d`: the versions it defines.
    pub versions: BTreeSet<String>,
    /// The symbols it exports, where it has no versions, as musl.
    pub symbols: BTreeSet<String>,
}

impl Elf {
    /// The C library it was linked against; `None` for what needs none.
    pub fn libc(&self) -> Option<Libc> {
        let interpreter = self.interpreter.as_deref().unwrap_or_default();
        let of_libc = |(library, _): &(&String, _)| is_of_libc(library);
        let versions = || self.versions.iter().filter(of_libc).flat_map(|(_, versions)| versions);
        let needs = |is: fn(&str) -> bool| self.needed.iter().any(|name| is(name));
        if interpreter.starts_with("/system/") || versions().any(|version| version == "LIBC") {
            Some(Libc::Bionic)
        } else if versions().any(|version| version.starts_with("GLIBC_"))
            || interpreter.contains("/ld-linux")
            || interpreter.contains("/ld64.so")
            || needs(|name| name == "libc.so.6" || name.starts_with("ld-linux"))
        {
            Some(Libc::Glibc)
        } else if interpreter.contains("/ld-musl-")
            || needs(|name| name == "libc.so" || name.starts_with("libc.musl-") || name.starts_with("ld-musl-"))
        {
            Some(Libc::Musl)
        } else {
            None
        }
    }
}

/// Whether versions named after glibc are glibc's own in this library. GCC's support library has one for 64-bit ARM
/// whatever the C library is.
fn is_of_libc(library: &str) -> bool {
    !library.starts_with("libgcc_s")
}

/// Reads what a file is. An error is one of reading; whatever the bytes are is no error.
pub fn read_binary(source: impl Read + Seek) -> io::Result<Binary> {
    let mut source = Bounded { source, left: READ_LIMIT, failed: None };
    let mut start = [0; 8];
    let count = source.read_start(&mut start)?;
    match start.get(..4.min(count)).unwrap_or_default() {
        b"\x7fELF" => {}
        // A class file of Java begins like a Mach-O for several processors, but with a number of processors like 50.
        [0xca, 0xfe, 0xba, 0xbe | 0xbf] if start[7] < 32 => return Ok(Binary::Foreign(ForeignFormat::MacOs)),
        [0xcf | 0xce, 0xfa, 0xed, 0xfe] | [0xfe, 0xed, 0xfa, 0xcf | 0xce] => {
            return Ok(Binary::Foreign(ForeignFormat::MacOs));
        }
        [b'M', b'Z', ..] => return Ok(Binary::Foreign(ForeignFormat::Windows)),
        _ => return Ok(Binary::None),
    }
    match parsed(source, Wanted::Needs)? {
        Some(Parsed::Needs(elf)) => Ok(Binary::Elf(elf)),
        _ => Ok(Binary::Damaged),
    }
}

/// Reads what a library offers; `None` for what is no ELF file.
pub fn read_library(source: impl Read + Seek) -> io::Result<Option<Library>> {
    let source = Bounded { source, left: READ_LIMIT, failed: None };
    Ok(match parsed(source, Wanted::Offers)? {
        Some(Parsed::Offers(library)) => Some(library),
        _ => None,
    })
}

/// What is to be read out of a file.
#[derive(Clone, Copy)]
enum Wanted {
    Needs,
    Offers,
}

enum Parsed {
    Needs(Elf),
    Offers(Library),
}

/// Tells a file that cannot be read from one whose tables are wrong, which is `None`.
fn parsed<R: Read + Seek>(source: Bounded<R>, wanted: Wanted) -> io::Result<Option<Parsed>> {
    let cache = ReadCache::new(source);
    let result = with_class(Small(&cache), wanted).ok();
    match (result, cache.into_inner().failed) {
        (None, Some(error)) => Err(error),
        (result, _) => Ok(result),
    }
}

fn with_class<'d, R: ReadRef<'d>>(file: R, wanted: Wanted) -> object::Result<Parsed> {
    let ident = file.read_bytes_at(0, 5).unwrap_or_default();
    match ident.get(4) {
        Some(1) => with_header::<FileHeader32<Endianness>, R>(file, wanted),
        _ => with_header::<FileHeader64<Endianness>, R>(file, wanted),
    }
}

fn with_header<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
    file: R,
    wanted: Wanted,
) -> object::Result<Parsed> {
    let header = H::parse(file)?;
    let endian = header.endian()?;
    let tables = Tables { endian, file, sections: header.sections(endian, file)? };
    match wanted {
        Wanted::Needs => tables.needs(header).map(Parsed::Needs),
        Wanted::Offers => tables.offers().map(Parsed::Offers),
    }
}

/// The tables of a file.
struct Tables<'d, H: FileHeader, R: ReadRef<'d>> {
    endian: Endianness,
    file: R,
    sections: SectionTable<'d, H, R>,
}

impl<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>> Tables<'d, H, R> {
    fn needs(&self, header: &H) -> object::Result<Elf> {
        let (endian, file) = (self.endian, self.file);
        let mut facts = Elf { cpu: cpu(header.e_machine(endian).0, header.is_class_64()), ..Elf::default() };
        for segment in header.program_headers(endian, file)? {
            if let Some(interpreter) = segment.interpreter(endian, file)? {
                facts.interpreter = Some(name(interpreter));
            }
        }
        let dynamic = self.sections.dynamic_table(endian, file)?;
        for entry in dynamic.iter().filter(|entry| entry.tag == elf::DT_NEEDED) {
            facts.needed.push(name(dynamic.string(entry)?));
        }
        let of_glibc = self.needed_versions(&mut facts)?;
        let symbols = self.sections.symbols(endian, file, elf::SHT_DYNSYM)?;
        let indices = self.sections.gnu_versym(endian, file)?.map(|(indices, _)| indices).unwrap_or_default();
        for ((_, symbol), index) in symbols.enumerate().zip(indices) {
            let is_of_glibc = of_glibc.contains(&index.0.get(endian).index().0);
            if is_of_glibc && symbol.is_undefined(endian) && !symbol.is_weak() {
                facts.glibc_symbols.insert(name(symbols.symbol_name(endian, symbol)?));
            }
        }
        Ok(facts)
    }

    /// Adds the versions that are needed; gives the numbers under which this file knows those of glibc.
    fn needed_versions(&self, facts: &mut Elf) -> object::Result<BTreeSet<u16>> {
        let mut of_glibc = BTreeSet::new();
        let Some((mut needed, strings)) = self.sections.gnu_verneed(self.endian, self.file)? else {
            return Ok(of_glibc);
        };
        let strings = self.sections.strings(self.endian, self.file, strings)?;
        let mut steps = 0..MOST_VERSIONS;
        while let Some((library, mut versions)) = needed.next()? {
            let library = name(library.file(self.endian, strings)?);
            let is_of_libc = is_of_libc(&library);
            let of_library = facts.versions.entry(library).or_default();
            while let (Some(version), Some(_)) = (versions.next()?, steps.next()) {
                let text = name(version.name(self.endian, strings)?);
                if is_of_libc && text.starts_with("GLIBC_") {
                    of_glibc.insert(version.vna_other(self.endian).index().0);
                }
                of_library.insert(text);
            }
            if steps.next().is_none() {
                break;
            }
        }
        Ok(of_glibc)
    }

    fn offers(&self) -> object::Result<Library> {
        let mut library = Library::default();
        if let Some((mut defined, strings)) = self.sections.gnu_verdef(self.endian, self.file)? {
            let strings = self.sections.strings(self.endian, self.file, strings)?;
            let mut steps = 0..MOST_VERSIONS;
            while let (Some((_, mut names)), Some(_)) = (defined.next()?, steps.next()) {
                // The first name is the version's own; others are those it builds on.
                if let Some(version) = names.next()? {
                    library.versions.insert(name(version.name(self.endian, strings)?));
                }
            }
        }
        if library.versions.is_empty() {
            let symbols = self.sections.symbols(self.endian, self.file, elf::SHT_DYNSYM)?;
            for symbol in symbols.iter().filter(|symbol| !symbol.is_undefined(self.endian) && !symbol.is_local()) {
                library.symbols.insert(name(symbols.symbol_name(self.endian, symbol)?));
            }
        }
        Ok(library)
    }
}

/// The processor in Node's words. Source: the ELF specification's list of machines; Node's documentation, `process.arch`.
fn cpu(machine: u16, is_64: bool) -> String {
    match (machine, is_64) {
        (62, true) => "x64".into(),
        (3, false) => "ia32".into(),
        (183, true) => "arm64".into(),
        (40, false) => "arm".into(),
        (21, true) => "ppc64".into(),
        (22, true) => "s390x".into(),
        (243, true) => "riscv64".into(),
        (258, true) => "loong64".into(),
        (8, false) => "mips".into(),
        (machine, _) => format!("machine {machine}"),
    }
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(NAME_LIMIT)]).into_owned()
}

/// Refuses to read a part that is too large before there is memory for it.
struct Small<'c, R: Read + Seek>(&'c ReadCache<Bounded<R>>);

impl<R: Read + Seek> Clone for Small<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Read + Seek> Copy for Small<'_, R> {}

impl<'c, R: Read + Seek> ReadRef<'c> for Small<'c, R> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'c [u8], ()> {
        if size > READ_LIMIT { Err(()) } else { self.0.read_bytes_at(offset, size) }
    }

    fn read_bytes_at_until(self, range: std::ops::Range<u64>, delimiter: u8) -> Result<&'c [u8], ()> {
        self.0.read_bytes_at_until(range, delimiter)
    }
}

/// Reads no more than it may in all, and keeps the error of a read, which the library that parses does not.
struct Bounded<R> {
    source: R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read + Seek> Bounded<R> {
    /// The first bytes; fewer if the file has fewer.
    fn read_start(&mut self, start: &mut [u8]) -> io::Result<usize> {
        self.source.seek(SeekFrom::Start(0))?;
        let mut count = 0;
        while count < start.len() {
            match self.source.read(&mut start[count..]) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            // An end that comes too early is the file's own fault.
            if error.kind() != io::ErrorKind::UnexpectedEof {
                self.failed = Some(io::Error::new(error.kind(), error.to_string()));
            }
        })
    }
}

impl<R: Read + Seek> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len() as u64;
        self.left = self.left.checked_sub(wanted).ok_or(io::ErrorKind::UnexpectedEof)?;
        let result = self.source.read(buffer);
        self.noted(result)
    }
}

impl<R: Read + Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let result = self.source.seek(to);
        self.noted(result)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// The head of an ELF file for a machine, with no table.
    fn head(class: u8, machine: u16) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
        bytes[16..18].copy_from_slice(&3_u16.to_le_bytes());
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[20] = 1;
        bytes
    }

    #[test]
    fn what_a_file_is_its_first_bytes_say() {
        let elf = |cpu: &str| Binary::Elf(Elf { cpu: cpu.into(), ..Elf::default() });
        let (mac, windows) = (Binary::Foreign(ForeignFormat::MacOs), Binary::Foreign(ForeignFormat::Windows));
        let table: Vec<(&str, Vec<u8>, Binary)> = vec![
            ("64 bits", head(2, 62), elf("x64")),
            ("another machine", head(2, 183), elf("arm64")),
            ("32 bits", head(1, 40), elf("arm")),
            ("a machine without Node", head(2, 2), elf("machine 2")),
            ("the wrong class of a machine", head(1, 62), elf("machine 62")),
            ("no class", head(9, 62), Binary::Damaged),
            ("cut off", head(2, 62)[..40].to_vec(), Binary::Damaged),
            ("macOS", b"\xcf\xfa\xed\xfe\x07\0\0\x01".to_vec(), mac.clone()),
            ("macOS, several processors", b"\xca\xfe\xba\xbe\0\0\0\x02".to_vec(), mac),
            ("Java", b"\xca\xfe\xba\xbe\0\0\0\x34".to_vec(), Binary::None),
            ("Windows", b"MZ\x90\0\x03\0\0\0".to_vec(), windows),
            ("a script", b"#!/usr/bin/env node\n".to_vec(), Binary::None),
            ("nothing", Vec::new(), Binary::None),
        ];
        for (comment, bytes, expected) in table {
            assert_eq!(read_binary(Cursor::new(bytes)).unwrap(), expected, "{comment}");
        }
    }

    /// This very test is a program with all tables.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn a_real_program() {
        let path = std::env::current_exe().unwrap();
        let Binary::Elf(elf) = read_binary(std::fs::File::open(&path).unwrap()).unwrap() else { panic!() };
        assert_eq!(elf.libc(), Some(Libc::Glibc));
        assert!(elf.interpreter.unwrap().contains("/ld-linux"));
        assert!(elf.needed.contains(&"libc.so.6".to_owned()), "{:?}", elf.needed);
        assert!(elf.versions["libc.so.6"].iter().any(|version| version.starts_with("GLIBC_2.")));
        assert!(elf.glibc_symbols.contains("malloc"), "{:?}", elf.glibc_symbols);
        assert!(elf.cpu == if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" }, "{}", elf.cpu);
    }

    #[test]
    fn c_libraries() {
        let elf = |needed: &[&str], library: &str, version: &str| Elf {
            needed: needed.iter().map(|name| (*name).to_owned()).collect(),
            versions: BTreeMap::from([(library.to_owned(), BTreeSet::from([version.to_owned()]))]),
            ..Elf::default()
        };
        let table = [
            ("glibc", elf(&["libc.so.6"], "libc.so.6", "GLIBC_2.17"), Some(Libc::Glibc)),
            ("glibc by a version alone", elf(&[], "libm.so.6", "GLIBC_2.17"), Some(Libc::Glibc)),
            ("musl", elf(&["libc.musl-x86_64.so.1"], "libstdc++.so.6", "GLIBCXX_3.4"), Some(Libc::Musl)),
            ("musl as cross compilers name it", elf(&["libc.so"], "libstdc++.so.6", "CXXABI_1.3"), Some(Libc::Musl)),
            ("musl with GCC's support library", elf(&["libc.so"], "libgcc_s.so.1", "GLIBC_2.0"), Some(Libc::Musl)),
            ("Android", elf(&["libc.so"], "libc.so", "LIBC"), Some(Libc::Bionic)),
            ("none", elf(&[], "libx.so", "X_1"), None),
        ];
        for (comment, elf, expected) in table {
            assert_eq!(elf.libc(), expected, "{comment}");
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_an_error() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }
        impl Seek for Failing {
            fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
                Ok(0)
            }
        }
        assert_eq!(read_binary(Failing).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    proptest! {
        /// Whatever stands behind the head, something is said of it.
        #[test]
        fn any_bytes_are_read(class in 1_u8..3, tables in prop::collection::vec(any::<u8>(), 0..600), at in 20..64_usize) {
            let mut bytes = head(class, 62);
            bytes.extend(tables);
            bytes[at] = 64;
            prop_assert!(read_binary(Cursor::new(&bytes)).is_ok());
            prop_assert!(read_library(Cursor::new(&bytes)).is_ok());
        }
    }
}
