//! Which calls ask for a module.

use std::collections::BTreeSet;

use oxc_ast::ast::{Argument, CallExpression, Expression};

use super::RequestKind;
use super::constant_paths::{called_name, first, is_import_meta};
use super::serving::property;

/// The names of functions that do what `require` does.
pub(super) struct Requires(BTreeSet<String>);

impl Default for Requires {
    fn default() -> Self {
        Self(["require", "__require", "__non_webpack_require__"].map(str::to_owned).into())
    }
}

impl Requires {
    /// Adds a variable that a call gives its value, if that makes a `require`.
    pub fn declare(&mut self, name: &str, call: &CallExpression<'_>) {
        if makes_require(call) {
            self.0.insert(name.to_owned());
        }
    }

    /// Adds a variable that is `require` by another name.
    pub fn alias(&mut self, name: &str, value: &Expression<'_>) {
        if value.get_inner_expression().is_specific_id("require") {
            self.0.insert(name.to_owned());
        }
    }

    /// Whether a call asks for a module, and how; `is_parameter` says whether `require` is a parameter here.
    pub fn kind_of_call(&self, call: &CallExpression<'_>, is_parameter: bool) -> Option<RequestKind> {
        if registers_hooks(call) {
            return Some(RequestKind::Import);
        }
        match call.callee.get_inner_expression() {
            Expression::Identifier(id) if id.name == "require" && is_parameter => Some(RequestKind::Parameter),
            Expression::Identifier(id) => self.0.contains(id.name.as_str()).then_some(RequestKind::Require),
            Expression::StaticMemberExpression(member) if member.property.name == "resolve" => {
                match member.object.get_inner_expression() {
                    Expression::ImportMeta(_) => Some(RequestKind::ImportResolve),
                    Expression::Identifier(id) if is_parameter && id.name == "require" => Some(RequestKind::Parameter),
                    Expression::Identifier(id) => {
                        self.0.contains(id.name.as_str()).then_some(RequestKind::RequireResolve)
                    }
                    _ => None,
                }
            }
            Expression::StaticMemberExpression(member) if member.property.name == "require" => {
                member.object.get_inner_expression().is_specific_id("module").then_some(RequestKind::Require)
            }
            // `createRequire(import.meta.url)('x')`
            Expression::CallExpression(inner) => makes_require(inner).then_some(RequestKind::Require),
            _ => None,
        }
    }
}

/// `createRequire(import.meta.url)` and `createRequire(__filename)`
fn makes_require(call: &CallExpression<'_>) -> bool {
    called_name(&call.callee) == Some("createRequire") && first(&call.arguments).is_some_and(is_own_file)
}

/// `module.register('./hooks.mjs', import.meta.url)`: node loads hooks for what it imports later. Other functions of that
/// name are not told who calls them.
fn registers_hooks(call: &CallExpression<'_>) -> bool {
    let from_here = |argument: &Argument<'_>| match argument {
        Argument::ObjectExpression(options) => property(options, "parentURL").is_some_and(is_own_file),
        argument => argument.as_expression().is_some_and(is_own_file),
    };
    called_name(&call.callee) == Some("register") && call.arguments.get(1).is_some_and(from_here)
}

/// Whether a value is the path of the file that says it, or its URL.
fn is_own_file(value: &Expression<'_>) -> bool {
    match value.get_inner_expression() {
        Expression::StaticMemberExpression(member) => {
            matches!(member.property.name.as_str(), "url" | "filename") && is_import_meta(&member.object)
        }
        Expression::CallExpression(call) => {
            called_name(&call.callee) == Some("pathToFileURL") && first(&call.arguments).is_some_and(is_own_file)
        }
        value => value.is_specific_id("__filename"),
    }
}
