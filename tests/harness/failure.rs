//! Runs that have to fail.

use super::workspace::{Run, TestWorkspace};

/// A run that has to fail: with an error of the form that all have, and with everything as it was before.
pub fn failed_to(workspace: &TestWorkspace, arguments: &[&str]) -> Run {
    let run = left_as_it_was(workspace, arguments);
    assert_failed(&run);
    run
}

/// A run whose images do not pass: with a finding that has a code and a fix for each line, and with everything as it was
/// before.
pub fn not_passed(workspace: &TestWorkspace, arguments: &[&str]) -> Run {
    let run = left_as_it_was(workspace, arguments);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run}");
    let (_, error) = run.stderr.split_once("error: ").expect("there is an error");
    let (error, _) = error.split_once("\nhint: ").expect("there is a hint");
    let lines: Vec<&str> = error.lines().skip(1).collect();
    assert!(!lines.is_empty(), "{run}");
    for finding in lines.chunks(2) {
        let [told, fix] = finding else { panic!("each finding has a fix: {run}") };
        assert!(told.ends_with(']') && fix.starts_with("    ") && !fix.ends_with('.'), "{run}");
    }
    run
}

fn left_as_it_was(workspace: &TestWorkspace, arguments: &[&str]) -> Run {
    let before = workspace.paths();
    let run = workspace.run(arguments);
    assert_eq!(workspace.paths(), before, "a build that fails leaves nothing behind");
    assert_eq!(workspace.unfinished(), [].into(), "a build that fails leaves nothing half written in the cache");
    run
}

/// An error is a sentence without a period that ends with the path or value; what to type next follows, unless the error
/// itself names the line and column at which to type.
pub fn assert_failed(run: &Run) {
    assert_eq!(run.code, Some(1), "{run}");
    assert_eq!(run.stdout, "", "{run}");
    let (_, error) = run.stderr.split_once("error: ").expect("there is an error");
    let (error, hint) = error.split_once("\nhint: ").unwrap_or((error.trim_end(), ""));
    assert!(error.ends_with('`'), "the value is last: {run}");
    assert!(!hint.is_empty() || error.contains("`pirogue.toml:"), "there is a hint: {run}");
    assert!(!hint.trim_end().ends_with('.'), "{run}");
}
