//! Native code that the system's C compiler makes, for bases that are made to fit it or not.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::program;
use tempfile::TempDir;

/// Whether there is a compiler; if not, the test is skipped.
pub fn can_be_made() -> bool {
    program::are_installed(&["gcc"])
}

/// A shared library of this source, linked with these options and nothing else.
pub fn library(source: &str, options: &[&str]) -> Vec<u8> {
    compiled(source, &[&["-shared", "-fPIC", "-nostdlib"], options].concat(), &[])
}

/// The same, linked against other libraries by their file names.
pub fn linked_library(source: &str, against: &[(&str, &[u8])]) -> Vec<u8> {
    compiled(source, &["-shared", "-fPIC", "-nostdlib"], against)
}

/// A library that defines `function` in versions of its symbols, the newest last, as glibc and libstdc++ do.
pub fn versioned(soname: &str, function: &str, versions: &[&str]) -> Vec<u8> {
    let folder = TempDir::new().expect("a temporary directory can be made");
    let script = folder.path().join("versions");
    let (last, before) = versions.split_last().expect("there is a version");
    let mut text: String = before.iter().map(|version| format!("{version} {{}};\n")).collect();
    text.push_str(&format!("{last} {{ global: {function}; local: *; }};\n"));
    fs::write(&script, text).expect("a file can be written");
    let options = [format!("-Wl,--version-script={}", script.display()), format!("-Wl,-soname,{soname}")];
    library(&format!("int {function}(void) {{ return 0; }}"), &[&options[0], &options[1]])
}

/// A program for amd64, as far as its header tells: static, or with a loader.
pub fn program(is_static: bool) -> Vec<u8> {
    let loader = b"/lib/ld-linux-x86-64.so.2\0";
    let mut bytes = vec![0; 64 + 56];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 2;
    bytes[18] = 62;
    bytes[20] = 1;
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    // One program header: what is loaded, or the loader's name, which lies behind it.
    bytes[64] = if is_static { 1 } else { 3 };
    bytes[72] = 64 + 56;
    bytes[96] = loader.len() as u8;
    bytes.extend(loader);
    bytes
}

/// The same file as if it were for another machine of ELF's list.
pub fn for_machine(mut file: Vec<u8>, machine: u16) -> Vec<u8> {
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file
}

fn compiled(source: &str, options: &[&str], against: &[(&str, &[u8])]) -> Vec<u8> {
    let folder = TempDir::new().expect("a temporary directory can be made");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("source.c"), source).expect("a file can be written");
    let mut command = Command::new("gcc");
    command.args(options).arg("-o").arg(path("out")).arg(path("source.c"));
    for (name, bytes) in against {
        fs::write(path(name), bytes).expect("a file can be written");
        command.arg(path(name));
    }
    program::run(&mut command);
    read(&path("out"))
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("what was compiled can be read")
}
