//! Whatever files of images hold is looked through for secrets. The first byte chooses the file's name.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pirogue::check::Scanner;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(Some("/home/ann")).expect("the marks are few"));

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, text)) = bytes.split_first() else { return };
    let name = ["a.js", ".npmrc", ".yarnrc.yml", ".docker/config.json"][usize::from(choice % 4)];
    let scan = SCANNER.scan(Path::new(name), text);
    let lines = 1 + text.iter().filter(|&&byte| byte == b'\n').count();
    let found = scan.secret.map(|(_, line)| line).into_iter().chain(scan.host_path);
    assert!(found.map(|line| line as usize).all(|line| (1..=lines).contains(&line)));
});
