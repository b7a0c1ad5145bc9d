//! Functions that bundlers wrap modules in: which of them run as soon as the bundle does.

use std::collections::BTreeMap;

use oxc_ast::ast::{Argument, BindingPattern, CallExpression, Expression, ObjectPropertyKind, VariableDeclarator};
use oxc_span::GetSpan as _;

use super::When;

/// Functions of esbuild and rolldown that take a module and give a function that runs it once.
const WRAPPERS: [&str; 4] = ["__commonJS", "__commonJSMin", "__esm", "__esmMin"];
/// webpack's table of modules, and the function that runs one of them.
const WEBPACK_TABLE: &str = "__webpack_modules__";
const WEBPACK_REQUIRE: &str = "__webpack_require__";

/// The modules inside a bundle. The first is the file itself.
#[derive(Default)]
pub(super) struct Bundle {
    numbers: BTreeMap<String, usize>,
    /// By the place in the text at which its function begins.
    functions: BTreeMap<u32, usize>,
    /// Which module runs which, by name, and when.
    runs: Vec<(usize, String, When)>,
}

impl Bundle {
    fn number(&mut self, name: String) -> usize {
        let next = self.numbers.len() + 1;
        *self.numbers.entry(name).or_insert(next)
    }

    /// The module whose function begins at this place.
    pub fn module_at(&self, offset: u32) -> Option<usize> {
        self.functions.get(&offset).copied()
    }

    /// Takes in the modules that a variable holds, if it is one of a bundler's.
    pub fn declare(&mut self, declarator: &VariableDeclarator<'_>) {
        let (BindingPattern::BindingIdentifier(id), Some(init)) = (&declarator.id, &declarator.init) else { return };
        match init.get_inner_expression() {
            Expression::ObjectExpression(table) if id.name == WEBPACK_TABLE => {
                for property in table.properties.iter().filter_map(ObjectPropertyKind::as_property) {
                    let function = property.value.get_inner_expression();
                    if let (Some(key), true) = (property.key.static_name(), function.is_function()) {
                        let number = self.number(key.into_owned());
                        self.functions.insert(function.span().start, number);
                    }
                }
            }
            Expression::CallExpression(call) if callee(call).is_some_and(|name| WRAPPERS.contains(&name)) => {
                let function = match call.arguments.first().and_then(Argument::as_expression) {
                    Some(Expression::ObjectExpression(table)) => {
                        table.properties.first().and_then(ObjectPropertyKind::as_property).map(|first| &first.value)
                    }
                    function => function,
                };
                if let Some(function) = function.map(Expression::get_inner_expression).filter(|it| it.is_function()) {
                    let number = self.number(id.name.to_string());
                    self.functions.insert(function.span().start, number);
                }
            }
            _ => {}
        }
    }

    /// Takes in that `module` may run another by this call.
    pub fn call(&mut self, module: usize, call: &CallExpression<'_>, when: When) {
        let Some(name) = callee(call) else { return };
        match call.arguments.first().and_then(Argument::as_expression) {
            _ if name.starts_with("require_") || name.starts_with("init_") => {
                self.runs.push((module, name.to_owned(), when));
            }
            Some(Expression::StringLiteral(key)) if name == WEBPACK_REQUIRE => {
                self.runs.push((module, key.value.to_string(), when));
            }
            Some(Expression::NumericLiteral(key)) if name == WEBPACK_REQUIRE => {
                self.runs.push((module, key.value.to_string(), when));
            }
            _ => {}
        }
    }

    /// When each module runs, by its number.
    pub fn when(&self) -> Vec<When> {
        let mut when = vec![When::Later; self.numbers.len() + 1];
        when[0] = When::AtStart;
        for level in [When::AtStart, When::Guarded] {
            let mut open: Vec<usize> = (0..when.len()).filter(|module| when[*module] == level).collect();
            while let Some(module) = open.pop() {
                for (_, name, at) in self.runs.iter().filter(|(from, ..)| *from == module) {
                    let Some(&target) = self.numbers.get(name) else { continue };
                    if level.max(*at) < when[target] {
                        when[target] = level.max(*at);
                        open.extend((when[target] == level).then_some(target));
                    }
                }
            }
        }
        when
    }
}

fn callee<'c>(call: &'c CallExpression<'_>) -> Option<&'c str> {
    match call.callee.get_inner_expression() {
        Expression::Identifier(id) => Some(id.name.as_str()),
        _ => None,
    }
}
