//! Whether a file is a program that runs on a platform without any library: a few fields of its ELF header.
//!
//! Source: elf(5).

use crate::platform::Platform;

/// Why a file is no such program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaticProgramError {
    /// No ELF, or one that ends early.
    #[error("it is no program of Linux (ELF)")]
    NotElf,
    /// For another processor.
    #[error("it is for another processor")]
    Machine,
    /// It needs a loader and libraries.
    #[error("it needs a loader, and so libraries of the image")]
    Dynamic,
}

/// The `e_machine` of programs for a processor, in the image's words, whether they have 64 bits, and are little-endian.
const MACHINES: [(&str, u16, bool, bool); 9] = [
    ("amd64", 62, true, true),
    ("arm64", 183, true, true),
    ("arm", 40, false, true),
    ("386", 3, false, true),
    ("ppc64le", 21, true, true),
    ("riscv64", 243, true, true),
    ("loong64", 258, true, true),
    ("mips64le", 8, true, true),
    ("s390x", 22, true, false),
];

/// The type of the program header that names a loader.
const PT_INTERP: u64 = 3;

/// Checks that `bytes` are a program that runs on `platform` without a library.
pub fn check_static_program(bytes: &[u8], platform: &Platform) -> Result<(), StaticProgramError> {
    use StaticProgramError::{Dynamic, Machine, NotElf};
    let (Some(b"\x7fELF"), Some(&class), Some(&order)) = (bytes.get(..4), bytes.get(4), bytes.get(5)) else {
        return Err(NotElf);
    };
    let (is_64, is_little) = (class == 2, order == 1);
    let number = |at: u64, length: usize| {
        let at = usize::try_from(at).ok()?;
        let field = bytes.get(at..at.checked_add(length)?)?;
        let digits = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if is_little { field.iter().rev().fold(0, digits) } else { field.iter().fold(0, digits) })
    };
    let machine = number(18, 2).ok_or(NotElf)?;
    let wanted = MACHINES.iter().find(|(name, ..)| *name == platform.architecture).ok_or(Machine)?;
    if (u64::from(wanted.1), wanted.2, wanted.3) != (machine, is_64, is_little) {
        return Err(Machine);
    }
    let (table, size, count) = match is_64 {
        true => (number(32, 8), number(54, 2), number(56, 2)),
        false => (number(28, 4), number(42, 2), number(44, 2)),
    };
    let ((table, size), count) = table.zip(size).zip(count).ok_or(NotElf)?;
    for index in 0..count {
        let kind = table.checked_add(index * size).and_then(|at| number(at, 4)).ok_or(NotElf)?;
        if kind == PT_INTERP {
            return Err(Dynamic);
        }
    }
    if count == 0 { Err(NotElf) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of 64 bits, with one program header of this type behind it.
    fn elf(machine: u16, kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    #[test]
    fn programs() {
        use StaticProgramError::{Dynamic, Machine, NotElf};
        let table = [
            ("a static one", "linux/amd64", elf(62, 1), Ok(())),
            ("for another processor", "linux/arm64", elf(62, 1), Err(Machine)),
            ("for an unknown processor", "linux/wasm", elf(62, 1), Err(Machine)),
            ("with a loader", "linux/arm64/v8", elf(183, 3), Err(Dynamic)),
            ("a script", "linux/amd64", b"#!/bin/sh\n".to_vec(), Err(NotElf)),
            ("nothing", "linux/amd64", Vec::new(), Err(NotElf)),
            ("cut off", "linux/amd64", elf(62, 1)[..66].to_vec(), Err(NotElf)),
        ];
        for (comment, platform, bytes, expected) in table {
            assert_eq!(check_static_program(&bytes, &platform.parse().unwrap()), expected, "{comment}");
        }
    }
}
