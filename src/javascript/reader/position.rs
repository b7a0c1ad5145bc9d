//! Where the reader is: in which module of a bundle, and whether what stands there runs at the start.

use oxc_ast::ast::FormalParameters;

use super::Reader;
use crate::javascript::When;

/// Where the reader is.
#[derive(Clone, Copy)]
pub(super) struct Position {
    /// The module of the bundle; 0 outside of any.
    pub module: usize,
    pub when: When,
    /// Whether a function around has a parameter `require`.
    pub require_is_parameter: bool,
}

impl Position {
    /// Where a file begins.
    pub const START: Self = Self { module: 0, when: When::AtStart, require_is_parameter: false };
}

impl Reader {
    pub(super) fn guarded(&mut self, walk: impl FnOnce(&mut Self)) {
        self.at_most(When::Guarded, walk);
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
            self.position = Position { module, ..Position::START };
        } else if !self.called_at_once.contains(&offset) {
            self.position.when = When::Later;
        }
        let names = parameters.items.iter().filter_map(|parameter| parameter.pattern.get_identifier_name());
        self.position.require_is_parameter |= names.into_iter().any(|name| name == "require");
    }
}
