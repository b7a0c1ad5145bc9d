use std::env;
use std::process::Command;

/// Whether all these programs are installed; if not, the test is skipped.
pub fn are_installed(names: &[&str]) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> = env::split_paths(&path).collect();
    for name in names {
        if !dirs.iter().any(|dir| dir.join(name).is_file()) {
            super::skip(&format!("`{name}` is not installed"));
            return false;
        }
    }
    true
}

/// Runs a program to its end and gives its standard output; panics with all it said if it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout.into_owned()
}
