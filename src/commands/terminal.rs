//! The one place that writes to the terminal: results to standard output, everything else to standard error.

use std::io::{self, BufRead as _, IsTerminal, Read as _, Write as _};
use std::sync::Arc;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde::Serialize;

use crate::progress::{Progress, Task};

/// No password is longer than this.
const PASSWORD_LIMIT: u64 = 1 << 20;

/// Writes a result.
pub(super) fn output(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// A report as one JSON document.
pub(super) fn json(report: &impl Serialize) -> String {
    // A report has no maps with other keys than texts, so it can always be written.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}

/// Writes an error and what to do next. Where even that fails, the exit code has to do.
pub(super) fn error(text: &str, hint: Option<&str>) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "error: {text}");
    if let Some(hint) = hint {
        let _ = writeln!(stderr, "hint: {hint}");
    }
}

/// Reads a password: all of standard input, without the line break at its end; or, from a terminal, a line that is not
/// shown. `None` where there is neither.
pub(super) fn password(from_stdin: bool, prompt: &str) -> io::Result<Option<String>> {
    let mut stdin = io::stdin().lock();
    let mut text = String::new();
    if from_stdin {
        stdin.take(PASSWORD_LIMIT).read_to_string(&mut text)?;
    } else if stdin.is_terminal() {
        // What was typed before the question is thrown away, what follows it is not shown.
        let silence = Silence::begin()?;
        write!(io::stderr().lock(), "{prompt}: ")?;
        let read = stdin.read_line(&mut text);
        drop(silence);
        writeln!(io::stderr().lock())?;
        read?;
    }
    let password = text.trim_end_matches(['\r', '\n']);
    Ok((!password.is_empty()).then(|| password.to_owned()))
}

/// While it lives, the terminal does not show what is typed.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be set.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Shows progress: bars on a terminal, plain lines otherwise.
pub(super) fn progress() -> Arc<dyn Progress> {
    match io::stderr().is_terminal() {
        true => Arc::new(Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))),
        false => Arc::new(Lines),
    }
}

struct Lines;

impl Progress for Lines {
    fn step(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn warn(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "warning: {text}");
    }

    fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "note: {text}");
    }

    fn task(&self, _text: &str, _total_bytes: u64) -> Box<dyn Task> {
        Box::new(crate::progress::Silent)
    }

    fn count(&self, _text: &str, _total: u64) -> Box<dyn Task> {
        Box::new(crate::progress::Silent)
    }
}

struct Bars(MultiProgress);

impl Progress for Bars {
    fn step(&self, text: &str) {
        let _ = self.0.println(text);
    }

    fn warn(&self, text: &str) {
        let _ = self.0.println(format!("warning: {text}"));
    }

    fn note(&self, text: &str) {
        let _ = self.0.println(format!("note: {text}"));
    }

    fn task(&self, text: &str, total_bytes: u64) -> Box<dyn Task> {
        self.bar(text, total_bytes, "{msg:28} {bar:30} {bytes:>10}/{total_bytes:10} {bytes_per_sec}")
    }

    fn count(&self, text: &str, total: u64) -> Box<dyn Task> {
        self.bar(text, total, "{msg:28} {bar:30} {pos:>10}/{len:10}")
    }
}

impl Bars {
    fn bar(&self, text: &str, total: u64, template: &str) -> Box<dyn Task> {
        let bar = self.0.add(ProgressBar::new(total));
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(text.to_owned());
        Box::new(Bar(bar))
    }
}

struct Bar(ProgressBar);

impl Task for Bar {
    fn advance(&self, amount: u64) {
        self.0.inc(amount);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
