//! Files of native code, as packages bring them, and libraries, as bases do.
#![no_main]

use std::collections::BTreeSet;
use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use pirogue::native::{BaseLibraries, Binary, Fit, Libc, Variants, read_binary, read_library};

fuzz_target!(|bytes: &[u8]| {
    let library = read_library(Cursor::new(bytes)).expect("memory can be read");
    let binary = read_binary(Cursor::new(bytes)).expect("memory can be read");
    let Some(library) = library else { return };
    for libc in [Libc::Musl, Libc::Glibc] {
        let path = if libc == Libc::Musl { "/lib/ld-musl-x86_64.so.1" } else { "/lib/libc.so.6" };
        let base = BaseLibraries::of(Some(libc), [path].into_iter(), |_| Some(&library));
        if let Some(fit) = Fit::of(&binary, "x64", &base, &BTreeSet::new()) {
            assert!(binary != Binary::None);
            let _ = Variants::of(vec![("a.node".to_owned(), fit)], "x64", Some(libc));
        }
    }
});
