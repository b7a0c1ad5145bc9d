//! Where the reader is: in which module of a bundle, and whether what stands there runs at the start.

use oxc_ast::ast::FormalParameters;

use super::Reader;
use crate::javascript::When;
use crate::javascript::conditions::Outcome;

/// Where the reader is.
#[derive(Clone, Copy)]
pub(super) struct Position {
    /// The module of the bundle; 0 outside of any.
    pub module: usize,
    pub when: When,
    /// Whether what fails here is caught.
    pub is_caught: bool,
    /// Whether a condition around most likely fails.
    pub is_unlikely: bool,
    /// Whether a function around has a parameter `require`.
    pub require_is_parameter: bool,
}

impl Default for Position {
    /// Where a file begins.
    fn default() -> Self {
        Self { module: 0, when: When::AtStart, is_caught: false, is_unlikely: false, require_is_parameter: false }
    }
}

impl Reader {
    pub(super) fn guarded(&mut self, walk: impl FnOnce(&mut Self)) {
        self.at_most(When::Guarded, walk);
    }

    /// Walks what runs only if a condition holds, of which this is known.
    pub(super) fn only_if(&mut self, outcome: Outcome, walk: impl FnOnce(&mut Self)) {
        let before = self.position.is_unlikely;
        match outcome {
            Outcome::Holds => walk(self),
            Outcome::Unknown => self.guarded(walk),
            Outcome::Fails | Outcome::FailsByDefault => {
                self.position.is_unlikely = true;
                self.guarded(walk);
                self.position.is_unlikely = before;
            }
        }
    }

    /// Walks what has somebody who is told if it fails; `gives_up` if that one cannot go on either.
    pub(super) fn caught(&mut self, gives_up: bool, walk: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.position.is_caught, true);
        self.at_most(if gives_up { When::AtStart } else { When::Guarded }, walk);
        self.position.is_caught = before;
    }

    pub(super) fn at_most(&mut self, when: When, walk: impl FnOnce(&mut Self)) {
        let before = self.position.when;
        self.position.when = before.max(when);
        walk(self);
        self.position.when = before;
    }

    pub(super) fn enter_function(&mut self, offset: u32, parameters: &FormalParameters<'_>) {
        self.around.push(self.position);
        if let Some(module) = self.bundle.module_at(offset) {
            self.position = Position { module, ..Position::default() };
        } else if !self.called_at_once.contains(&offset) {
            self.position.when = When::Later;
            self.position.is_caught = false; // it is called from elsewhere
        }
        let names = parameters.items.iter().filter_map(|parameter| parameter.pattern.get_identifier_name());
        self.position.require_is_parameter |= names.into_iter().any(|name| name == "require");
    }
}
