//! Paths that are known before the code runs: `path.join(__dirname, 'x')` and its kin.

use std::collections::BTreeMap;

use oxc_ast::ast::{Argument, BinaryOperator, Expression, NewExpression};

use super::Origin;

/// Stands for the name of the file that is read, which its code does not say. No file has it.
const ITSELF: &str = "\0";

/// A path as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConstantPath {
    pub origin: Origin,
    /// Relative to the origin, written as in the code.
    pub path: String,
    /// Whether something unknown follows.
    pub is_open: bool,
}

impl ConstantPath {
    fn of(origin: Origin, path: &str) -> Self {
        Self { origin, path: path.to_owned(), is_open: false }
    }

    fn with(mut self, text: &str) -> Self {
        if !self.is_open {
            self.path.push_str(text);
        }
        self
    }

    fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    fn parent(self) -> Self {
        self.with("/..")
    }

    /// The path without `.` and without `..` but in front; `None` where it names nothing but a directory above the origin,
    /// or the file itself. It ends with a slash if what follows is a name in that directory.
    pub fn normal(&self) -> Option<String> {
        let names = self.names();
        let names_something = names.last().is_some_and(|last| *last != ".." && *last != ITSELF);
        let end = if self.is_open && self.path.ends_with('/') { "/" } else { "" };
        names_something.then(|| names.join("/") + end)
    }

    /// What all paths begin with that lie there, if that is the origin's directory or one above it: `` or `../`.
    pub fn directory(&self) -> Option<String> {
        let names = self.names();
        names.iter().all(|name| *name == "..").then(|| "../".repeat(names.len()))
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.path.split('/') {
            match name {
                "" | "." => {}
                ".." if names.last().is_some_and(|last| *last != "..") => _ = names.pop(),
                name => names.push(name),
            }
        }
        names
    }
}

/// The names of variables that hold such paths.
pub(super) type Known = BTreeMap<String, ConstantPath>;

/// What an expression is worth, if it is a path that begins at the file's own directory or at the working directory.
pub(super) fn constant_path(expression: &Expression<'_>, known: &Known) -> Option<ConstantPath> {
    let path = |expression: &Expression<'_>| constant_path(expression, known);
    match expression.get_inner_expression() {
        Expression::Identifier(id) if id.name == "__dirname" => Some(ConstantPath::of(Origin::ThisDirectory, "")),
        Expression::Identifier(id) if id.name == "__filename" => Some(ConstantPath::of(Origin::ThisDirectory, ITSELF)),
        Expression::Identifier(id) => known.get(id.name.as_str()).cloned(),
        Expression::StaticMemberExpression(member) if is_import_meta(&member.object) => {
            match member.property.name.as_str() {
                "dirname" => Some(ConstantPath::of(Origin::ThisDirectory, "")),
                "filename" | "url" => Some(ConstantPath::of(Origin::ThisDirectory, ITSELF)),
                _ => None,
            }
        }
        // Of a URL: its text.
        Expression::StaticMemberExpression(member) if ["href", "pathname"].contains(&member.property.name.as_str()) => {
            path(&member.object)
        }
        Expression::BinaryExpression(sum) if sum.operator == BinaryOperator::Addition => {
            let left = path(&sum.left)?;
            Some(match text(&sum.right) {
                Some(right) => left.with(&right),
                None => left.with(&leading_text(&sum.right)).open(),
            })
        }
        Expression::TemplateLiteral(template) => {
            let first = template.expressions.first()?;
            if !template.quasis.first()?.value.raw.is_empty() {
                return None;
            }
            let mut built = path(first)?;
            for (position, quasi) in template.quasis.iter().enumerate().skip(1) {
                built = built.with(quasi.value.cooked.as_ref().unwrap_or(&quasi.value.raw).as_str());
                if position < template.expressions.len() {
                    built = built.open();
                }
            }
            Some(built)
        }
        Expression::NewExpression(new) => url(new),
        Expression::AwaitExpression(awaited) => path(&awaited.argument),
        Expression::CallExpression(call) => {
            let name = called_name(&call.callee)?;
            let mut arguments = call.arguments.iter();
            match name {
                "cwd" if arguments.len() == 0 && is_member_of(&call.callee, "process") => {
                    Some(ConstantPath::of(Origin::WorkingDirectory, ""))
                }
                "fileURLToPath" | "String" | "normalize" => path(arguments.next()?.as_expression()?),
                "toString" if arguments.len() == 0 => match call.callee.get_inner_expression() {
                    Expression::StaticMemberExpression(member) => path(&member.object),
                    _ => None,
                },
                "dirname" => path(arguments.next()?.as_expression()?).map(ConstantPath::parent),
                "join" | "resolve" => {
                    let first = arguments.next()?.as_expression()?;
                    let is_resolve = name == "resolve" && is_of_path(&call.callee);
                    let from_here = || {
                        let relative = text(first).filter(|text| is_resolve && !text.starts_with('/'))?;
                        Some(ConstantPath::of(Origin::WorkingDirectory, &relative))
                    };
                    let mut built = path(first).or_else(from_here)?;
                    for argument in arguments {
                        built = match argument.as_expression().and_then(text) {
                            Some(text) if name == "resolve" && text.starts_with('/') => return None,
                            Some(text) => built.with("/").with(&text),
                            None => {
                                let start = argument.as_expression().map(leading_text).unwrap_or_default();
                                built.with("/").with(&start).open()
                            }
                        };
                    }
                    Some(built)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a function is one of the module `path`, by whatever name a compiler gave that.
fn is_of_path(callee: &Expression<'_>) -> bool {
    match callee.get_inner_expression() {
        Expression::Identifier(id) => id.name.starts_with("path") || id.name.starts_with("node_path"),
        Expression::StaticMemberExpression(member) => is_of_path(&member.object),
        Expression::SequenceExpression(sequence) => sequence.expressions.last().is_some_and(is_of_path),
        _ => false,
    }
}

/// `new URL('./x', import.meta.url)`
fn url(new: &NewExpression<'_>) -> Option<ConstantPath> {
    let [first, base] = &new.arguments[..] else { return None };
    let base = base.as_expression()?.get_inner_expression();
    let is_own = matches!(base, Expression::StaticMemberExpression(member)
        if member.property.name == "url" && is_import_meta(&member.object));
    if !new.callee.is_specific_id("URL") || !is_own {
        return None;
    }
    let first = first.as_expression()?;
    let is_path = |text: &String| !text.starts_with('/') && !text.contains(':');
    match text(first) {
        Some(relative) => Some(ConstantPath::of(Origin::ThisDirectory, &relative)).filter(|_| is_path(&relative)),
        None => {
            let start = Some(leading_text(first)).filter(is_path)?;
            Some(ConstantPath::of(Origin::ThisDirectory, &start).open())
        }
    }
}

/// The last name of what is called: `join` of `path.join`, of `path_1.default.join` and of `(0, node_path.join)`.
pub(super) fn called_name<'e>(callee: &'e Expression<'_>) -> Option<&'e str> {
    match callee.get_inner_expression() {
        Expression::Identifier(id) => Some(id.name.as_str()),
        Expression::StaticMemberExpression(member) => Some(member.property.name.as_str()),
        Expression::SequenceExpression(sequence) => called_name(sequence.expressions.last()?),
        _ => None,
    }
}

/// Whether what is called is a member of `object`.
pub(super) fn is_member_of(callee: &Expression<'_>, object: &str) -> bool {
    matches!(callee.get_inner_expression(), Expression::StaticMemberExpression(member)
        if member.object.get_inner_expression().is_specific_id(object))
}

pub(super) fn is_import_meta(expression: &Expression<'_>) -> bool {
    matches!(expression.get_inner_expression(), Expression::ImportMeta(_))
}

/// The text of a string literal, of a template without expressions, or of a sum of these.
pub(super) fn text(expression: &Expression<'_>) -> Option<String> {
    match expression.get_inner_expression() {
        Expression::StringLiteral(literal) => Some(literal.value.to_string()),
        Expression::TemplateLiteral(template) => template.single_quasi().map(|text| text.to_string()),
        Expression::BinaryExpression(sum) if sum.operator == BinaryOperator::Addition => {
            Some(text(&sum.left)? + &text(&sum.right)?)
        }
        _ => None,
    }
}

/// The text that the value of an expression begins with, as far as it is known.
pub(super) fn leading_text(expression: &Expression<'_>) -> String {
    match expression.get_inner_expression() {
        Expression::TemplateLiteral(template) => {
            let first = template.quasis.first().map(|first| &first.value);
            first.map_or_else(String::new, |first| first.cooked.as_ref().unwrap_or(&first.raw).to_string())
        }
        Expression::BinaryExpression(sum) if sum.operator == BinaryOperator::Addition => match text(&sum.left) {
            Some(left) => left + &leading_text(&sum.right),
            None => leading_text(&sum.left),
        },
        other => text(other).unwrap_or_default(),
    }
}

/// What stands before the query of a URL, if only that is computed: `./x.js` of `./x.js?${Date.now()}`.
pub(super) fn before_query(url: &Expression<'_>) -> Option<String> {
    leading_text(url).split_once('?').map(|(path, _)| path.to_owned()).filter(|path| !path.is_empty())
}

/// The first argument of a call.
pub(super) fn first<'e, 'a>(arguments: &'e [Argument<'a>]) -> Option<&'e Expression<'a>> {
    arguments.first().and_then(Argument::as_expression)
}
