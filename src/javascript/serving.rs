//! Where code listens, and whether it answers requests.

use std::collections::BTreeMap;

use oxc_ast::ast::{
    CallExpression, Expression, ObjectExpression, ObjectPropertyKind, VariableDeclaration, VariableDeclarationKind,
};
use serde::{Deserialize, Serialize};

use super::constant_paths::{called_name, first, text};
use super::ports::port;

/// What code says about the requests it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Whether the word `PORT` stands anywhere in it.
    pub names_port_variable: bool,
    /// Where it listens: the line, and the port if it is constant.
    pub listens: Vec<(u32, Option<u16>)>,
    /// Whether it says what it answers: by routes of Express or Fastify, or by Nest's decorators.
    pub has_routes: bool,
}

/// Nest's decorators. Source: its documentation, "Controllers".
const DECORATORS: [&str; 9] = ["Controller", "Get", "Post", "Put", "Patch", "Delete", "All", "Head", "Options"];

/// Methods of routers whose first argument is a path. Source: Express's documentation, "Routing"; Fastify's, "Routes".
const METHODS: [&str; 9] = ["get", "post", "put", "patch", "delete", "all", "head", "use", "route"];

/// What is found while code is read.
#[derive(Debug, Default)]
pub(super) struct ServingReader {
    /// The constants that are numbers; `None` for a name that means several.
    numbers: BTreeMap<String, Option<u16>>,
    /// The offset of each, with its port.
    listens: Vec<(u32, Option<u16>)>,
    has_routes: bool,
}

impl ServingReader {
    /// Takes in a declaration.
    pub fn declare(&mut self, declaration: &VariableDeclaration<'_>) {
        for declarator in &declaration.declarations {
            let Some(name) = declarator.id.get_identifier_name() else { continue };
            let init = declarator.init.as_ref().filter(|_| declaration.kind == VariableDeclarationKind::Const);
            let value = init.and_then(port);
            self.numbers.entry(name.to_string()).and_modify(|known| *known = None).or_insert(value);
        }
    }

    /// Takes in a call.
    pub fn call(&mut self, call: &CallExpression<'_>) {
        let Some(name) = called_name(&call.callee) else { return };
        let argument = first(&call.arguments);
        if name == "listen" && matches!(call.callee.get_inner_expression(), Expression::StaticMemberExpression(_)) {
            self.listens.push((call.span.start, argument.and_then(|argument| self.port(argument))));
        }
        let is_path = || argument.and_then(text).is_some_and(|text| text.starts_with('/'));
        self.has_routes |= DECORATORS.contains(&name) || METHODS.contains(&name) && is_path();
    }

    /// `3000`, a constant that is, or `{ port: 3000 }`.
    fn port(&self, argument: &Expression<'_>) -> Option<u16> {
        match argument.get_inner_expression() {
            Expression::Identifier(id) => *self.numbers.get(id.name.as_str())?,
            Expression::ObjectExpression(options) => self.port(property(options, "port")?),
            other => port(other),
        }
    }

    /// What was found in this text.
    pub fn finish(self, source: &str, line: impl Fn(u32) -> u32) -> Serving {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let names_port_variable = source.match_indices("PORT").any(|(at, word)| {
            let (before, after) = (&source.as_bytes()[..at], &source.as_bytes()[at + word.len()..]);
            !before.last().is_some_and(is_word) && !after.first().is_some_and(is_word)
        });
        let listens = self.listens.into_iter().map(|(offset, port)| (line(offset), port)).collect();
        Serving { names_port_variable, listens, has_routes: self.has_routes }
    }
}

/// The value of a property.
pub(super) fn property<'o, 'a>(object: &'o ObjectExpression<'a>, name: &str) -> Option<&'o Expression<'a>> {
    object.properties.iter().find_map(|property| match property {
        ObjectPropertyKind::ObjectProperty(property) if property.key.static_name().as_deref() == Some(name) => {
            Some(&property.value)
        }
        _ => None,
    })
}
