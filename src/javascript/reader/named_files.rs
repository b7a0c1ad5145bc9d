//! Files that code names, and what it does with them.

use oxc_ast::ast::{Argument, CallExpression, Expression};
use oxc_span::GetSpan as _;

use super::{Found, Position, Reader};
use crate::javascript::constant_paths::{ConstantPath, called_name, constant_path, first, text};
use crate::javascript::file_uses::{is_file_system, made_by_library, use_of};
use crate::javascript::{FileUse, Origin};

impl Reader {
    /// Takes in that a variable holds a path, if it does.
    pub(super) fn know(&mut self, name: &str, init: &Expression<'_>) {
        let Some(path) = constant_path(init, &self.known) else { return };
        if self.around.is_empty() {
            // Whoever is given the directory says so himself.
            if path.directory().is_some() && !self.is_exported {
                self.path_end = self.path_end.max(init.span().end);
            }
            self.known.insert(name.to_owned(), path);
        } else {
            self.known_inside.insert(name.to_owned(), path);
        }
    }

    /// Notes what a call does with the paths it is given.
    pub(super) fn note_uses(&mut self, call: &CallExpression<'_>) {
        let Some(used) = called_name(&call.callee).and_then(use_of) else { return };
        let of_file_system =
            !matches!(call.callee.get_inner_expression(), Expression::Identifier(id) if id.name == "access");
        for argument in call.arguments.iter().filter_map(Argument::as_expression) {
            self.uses.insert(argument.span().start, used);
            // A variable, or a relative path in the hands of the file system's functions.
            if let Expression::Identifier(id) = argument.get_inner_expression() {
                self.name_file(argument);
                // That it is read was seen where the variable got it.
                if let Some(path) = self.known_inside.get(id.name.as_str()).filter(|_| !is_read(used)).cloned() {
                    self.file(path, used, argument.span().start);
                }
            }
        }
        let Some(argument) = first(&call.arguments).filter(|_| of_file_system && is_file_system(&call.callee)) else {
            return;
        };
        if let Some(path) = text(argument) {
            self.plain_path(path, used, argument.span().start);
        }
    }

    /// Takes in a path that is a mere text. What is read has to begin with a dot, to be told from other texts.
    fn plain_path(&mut self, path: String, used: FileUse, offset: u32) {
        let is_made = matches!(used, FileUse::Made | FileUse::MadeSync);
        let origin = match path.starts_with('/') {
            true if is_made => Origin::Root,
            false if is_made || path.starts_with("./") || path.starts_with("../") => Origin::WorkingDirectory,
            _ => return,
        };
        self.file(ConstantPath { origin, path, is_open: false }, used, offset);
    }

    /// Takes in what a library makes as soon as it is called.
    pub(super) fn note_made(&mut self, callee: &Expression<'_>, arguments: &[Argument<'_>]) {
        let Some(made) = made_by_library(callee, arguments) else { return };
        self.uses.insert(made.span().start, FileUse::MadeSync);
        if let Some(path) = text(made) {
            self.plain_path(path, FileUse::MadeSync, made.span().start);
        }
    }

    fn file(&mut self, path: ConstantPath, used: FileUse, offset: u32) {
        let Position { module, when, is_caught, is_unlikely, .. } = self.position;
        self.files.push(Found { module, when, is_caught, is_unlikely, offset, what: (path, used) });
    }

    /// Takes in the path that an expression is, if it is one; paths within are a part of it.
    pub(super) fn name_file(&mut self, expression: &Expression<'_>) {
        let span = expression.span();
        if span.end <= self.path_end {
            return;
        }
        // A sum is as deep as it is long: it is looked at from its end only.
        if let Expression::BinaryExpression(_) = expression
            && self.sum_start.replace(span.start) == Some(span.start)
        {
            return;
        }
        if let Some(path) = constant_path(expression, &self.known) {
            self.path_end = span.end;
            self.reach_directory(&path, span);
            let used = self.uses.get(&span.start).copied().unwrap_or(FileUse::Named);
            self.file(path, used, span.start);
        }
    }
}

fn is_read(used: FileUse) -> bool {
    matches!(used, FileUse::Read | FileUse::ReadSync)
}
