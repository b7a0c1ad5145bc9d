//! Conditions whose outcome in node is known before the code runs: whether there is a `process` or a `window`. And those that
//! fail as long as nobody sets a variable of the environment.

use std::collections::BTreeSet;

use oxc_ast::ast::{BinaryOperator, Expression, LogicalOperator, MemberExpression, UnaryOperator};

/// No condition that somebody wrote is nested deeper; sums of thousands of them are what bundlers make.
const DEEPEST: usize = 16;

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It holds in every run of node.
    Holds,
    /// It fails in every run of node.
    Fails,
    /// It fails where `NODE_ENV` is `production`, as images say, and no other variable is set.
    FailsByDefault,
    Unknown,
}

/// Names by which code tells where it runs, and that node has. A file that declares one means something else by it.
const THERE: [&str; 3] = ["process", "global", "globalThis"];

/// Such names that node does not have.
const ABSENT: [&str; 8] = ["undefined", "window", "document", "self", "importScripts", "XMLHttpRequest", "Deno", "Bun"];

/// The names of [`THERE`] and [`ABSENT`] that a file has for something of its own.
#[derive(Debug, Default)]
pub(super) struct Shadowed(BTreeSet<&'static str>);

impl Shadowed {
    /// Takes in that a name is declared.
    pub fn declare(&mut self, name: &str) {
        self.0.extend(THERE.iter().chain(&ABSENT).find(|global| **global == name));
    }

    /// What a name is worth that the file does not declare.
    fn global(&self, name: &str) -> Option<Value> {
        if self.0.contains(name) {
            return None;
        }
        let there = THERE.contains(&name).then_some(Worth::Object);
        there.or_else(|| ABSENT.contains(&name).then_some(Worth::Undefined)).and_then(Value::of)
    }
}

/// What an expression is worth.
#[derive(Clone, Debug, PartialEq)]
enum Worth {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// A text that is not empty.
    SomeText,
    Object,
}

impl Worth {
    fn is_truthy(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(holds) => *holds,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::SomeText | Self::Object => true,
        }
    }

    fn type_of(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) | Self::SomeText => "string",
            Self::Null | Self::Object => "object",
        }
    }

    /// Whether both are the same, where that can be told.
    fn equals(&self, other: &Self, strict: bool) -> Option<bool> {
        match (self, other) {
            (Self::Undefined | Self::Null, Self::Undefined | Self::Null) if !strict => Some(true),
            (Self::Undefined | Self::Null, _) | (_, Self::Undefined | Self::Null) => Some(self == other),
            _ if self.type_of() != other.type_of() => strict.then_some(false),
            (Self::SomeText, Self::Text(text)) | (Self::Text(text), Self::SomeText) if text.is_empty() => Some(false),
            (Self::SomeText | Self::Object, _) | (_, Self::SomeText | Self::Object) => None,
            _ => Some(self == other),
        }
    }
}

/// What is known of an expression's value.
#[derive(Clone, Debug, PartialEq)]
struct Value {
    worth: Worth,
    /// Whether it is another where a variable of the environment is.
    by_default: bool,
}

impl Value {
    fn of(worth: Worth) -> Option<Self> {
        Some(Self { worth, by_default: false })
    }
}

/// What is known of a condition and of its opposite, in a file that has these names for itself.
pub(super) fn outcomes(condition: &Expression<'_>, shadowed: &Shadowed) -> [Outcome; 2] {
    let Some(Value { worth, by_default }) = value(condition, shadowed, DEEPEST) else { return [Outcome::Unknown; 2] };
    let [holds, fails] = match by_default {
        // What most likely happens is no more certain than what may.
        true => [Outcome::Unknown, Outcome::FailsByDefault],
        false => [Outcome::Holds, Outcome::Fails],
    };
    if worth.is_truthy() { [holds, fails] } else { [fails, holds] }
}

fn value(expression: &Expression<'_>, shadowed: &Shadowed, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    match expression.get_inner_expression() {
        Expression::BooleanLiteral(literal) => Value::of(Worth::Bool(literal.value)),
        Expression::NumericLiteral(literal) => Value::of(Worth::Number(literal.value)),
        Expression::StringLiteral(literal) => Value::of(Worth::Text(literal.value.to_string())),
        Expression::NullLiteral(_) => Value::of(Worth::Null),
        Expression::UnaryExpression(unary) => match unary.operator {
            UnaryOperator::LogicalNot => value(&unary.argument, shadowed, depth)
                .map(|it| Value { worth: Worth::Bool(!it.worth.is_truthy()), ..it }),
            UnaryOperator::Typeof => single(&unary.argument, shadowed, depth)
                .map(|it| Value { worth: Worth::Text(it.worth.type_of().to_owned()), ..it }),
            _ => None,
        },
        Expression::BinaryExpression(binary) => {
            let (strict, negated) = match binary.operator {
                BinaryOperator::StrictEquality => (true, false),
                BinaryOperator::StrictInequality => (true, true),
                BinaryOperator::Equality => (false, false),
                BinaryOperator::Inequality => (false, true),
                _ => return None,
            };
            let (left, right) = (single(&binary.left, shadowed, depth)?, single(&binary.right, shadowed, depth)?);
            let equal = left.worth.equals(&right.worth, strict)?;
            Some(Value { worth: Worth::Bool(equal != negated), by_default: left.by_default || right.by_default })
        }
        Expression::LogicalExpression(logical) => {
            let (left, right) = (value(&logical.left, shadowed, depth), value(&logical.right, shadowed, depth));
            either(left, right, logical.operator)
        }
        Expression::ChainExpression(chain) => property_of(chain.expression.as_member_expression()?, shadowed),
        Expression::Identifier(id) => shadowed.global(&id.name),
        expression => property_of(expression.as_member_expression()?, shadowed),
    }
}

/// The value of what is more than a condition: of what `&&` and `||` give, nothing is known but whether it holds.
fn single(expression: &Expression<'_>, shadowed: &Shadowed, depth: usize) -> Option<Value> {
    match expression.get_inner_expression() {
        Expression::LogicalExpression(_) => None,
        expression => value(expression, shadowed, depth),
    }
}

/// What `&&` and `||` give, as far as that holds or fails. Where one side is not known, the other may decide all the same.
fn either(left: Option<Value>, right: Option<Value>, operator: LogicalOperator) -> Option<Value> {
    let decides = match operator {
        LogicalOperator::And => false,
        LogicalOperator::Or => true,
        LogicalOperator::Coalesce => return None,
    };
    let sides = || [&left, &right].into_iter().flatten();
    let deciding = || sides().filter(|side| side.worth.is_truthy() == decides);
    let by_default = match (deciding().next(), &left, &right) {
        // One that decides in any case does so whatever the other is.
        (Some(_), ..) => deciding().all(|side| side.by_default),
        (None, Some(left), Some(right)) => left.by_default || right.by_default,
        _ => return None,
    };
    let holds = decides == deciding().next().is_some();
    Some(Value { worth: Worth::Bool(holds), by_default })
}

/// What an object of node's has by a name: `process.env.A`, `process['env']['A']`.
fn property_of(member: &MemberExpression<'_>, shadowed: &Shadowed) -> Option<Value> {
    property(&path(member.object(), shadowed)?, member.static_property_name()?)
}

/// An object that node has, by its name: `process`, `process.env`, `process.versions`.
fn path(expression: &Expression<'_>, shadowed: &Shadowed) -> Option<String> {
    let member = match expression.get_inner_expression() {
        Expression::Identifier(id) => {
            return shadowed.global(&id.name).filter(|_| id.name == "process").map(|_| "process".to_owned());
        }
        Expression::ChainExpression(chain) => chain.expression.as_member_expression()?,
        expression => expression.as_member_expression()?,
    };
    Some(format!("{}.{}", path(member.object(), shadowed)?, member.static_property_name()?))
}

fn property(object: &str, name: &str) -> Option<Value> {
    match (object, name) {
        ("process", "type" | "browser" | "__nwjs") | ("process.versions", "electron" | "nw" | "bun" | "deno") => {
            Value::of(Worth::Undefined)
        }
        ("process", "versions" | "env") => Value::of(Worth::Object),
        ("process", "version") | ("process.versions", "node" | "v8") => Value::of(Worth::SomeText),
        // No image is of another system.
        ("process", "platform") => Value::of(Worth::Text("linux".to_owned())),
        ("process.env", "NODE_ENV") => Some(Value { worth: Worth::Text("production".to_owned()), by_default: true }),
        // Whoever runs a container gives it these.
        ("process.env", "PORT" | "PATH" | "HOME" | "HOSTNAME") => None,
        ("process.env", _) => Some(Value { worth: Worth::Undefined, by_default: true }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use oxc_allocator::Allocator;
    use oxc_ast::ast::Statement;
    use oxc_parser::Parser;
    use oxc_span::SourceType;

    use super::*;

    /// What is known of a condition, and of its opposite.
    fn known(condition: &str, shadowed: &Shadowed) -> [Outcome; 2] {
        let arena = Allocator::default();
        let parsed = Parser::new(&arena, condition, SourceType::cjs()).parse();
        let Some(Statement::ExpressionStatement(statement)) = parsed.program.body.first() else {
            panic!("a condition: {condition}")
        };
        outcomes(&statement.expression, shadowed)
    }

    #[test]
    fn outcomes_in_node() {
        use Outcome::{Fails, FailsByDefault, Holds, Unknown};
        let (yes, no) = ([Holds, Fails], [Fails, Holds]);
        // A default says only what most likely does not happen.
        let (by_default, not_by_default) = ([Unknown, FailsByDefault], [FailsByDefault, Unknown]);
        let table = [
            ("typeof process !== 'undefined' && process.type === 'renderer'", no),
            ("typeof process === 'undefined' || process.type === 'renderer' || process.__nwjs", no),
            ("typeof process !== 'undefined' && process.versions && process.versions.node", yes),
            ("typeof window === 'undefined'", yes),
            ("typeof window !== 'undefined' && window.document", no),
            ("typeof window != 'undefined'", no),
            ("process?.versions?.node", yes),
            ("process.versions.node == null", no),
            ("process.versions.node === '20.0.0'", [Unknown, Unknown]),
            ("process.platform === 'win32'", no),
            ("process.platform !== 'win32'", yes),
            ("typeof self === 'undefined' && typeof XMLHttpRequest === 'undefined'", yes),
            ("typeof Deno !== 'undefined' || typeof Bun !== 'undefined'", no),
            ("process.browser === true", no),
            ("!process.browser", yes),
            ("process.browser == null", yes),
            ("process.env.NODE_ENV === 'production'", by_default),
            ("process.env.NODE_ENV !== 'production'", not_by_default),
            ("process.env.APP_COV", not_by_default),
            ("process.env['APP_COV'] == '1'", not_by_default),
            ("process?.env?.['APP_COV']", not_by_default),
            ("process.env[name]", [Unknown, Unknown]),
            ("!process.env.APP_COV", by_default),
            ("process.env.PORT", [Unknown, Unknown]),
            ("process.env.READABLE_STREAM === 'disable' && Stream", not_by_default),
            ("Stream && process.env.READABLE_STREAM === 'disable'", not_by_default),
            ("process.env.A || process.versions", yes),
            ("process.env.A && process.browser", no),
            ("process.env.A || process.env.B", not_by_default),
            ("!process.env.A && !process.env.B", by_default),
            ("!process.env.A && process.versions", by_default),
            ("process.env.A && something", not_by_default),
            ("(process.env.A && undefined) === undefined", [Unknown, Unknown]),
            ("typeof (something && window)", [Unknown, Unknown]),
            ("something || process", yes),
            ("something && window", no),
            ("something && process", [Unknown, Unknown]),
            ("something", [Unknown, Unknown]),
            ("something ?? process", [Unknown, Unknown]),
            ("1 > 0", [Unknown, Unknown]),
            ("undefined == null", yes),
            ("undefined === null", no),
        ];
        for (condition, expected) in table {
            assert_eq!(known(condition, &Shadowed::default()), expected, "{condition}");
        }
    }

    #[test]
    fn long_sums_are_not_followed() {
        let sum = |count: usize| vec!["process.browser"; count].join(" || ");
        assert_eq!(known(&sum(10), &Shadowed::default()), [Outcome::Fails, Outcome::Holds]);
        assert_eq!(known(&sum(1000), &Shadowed::default()), [Outcome::Unknown, Outcome::Unknown]);
    }

    #[test]
    fn names_that_a_file_has_for_itself() {
        let mut shadowed = Shadowed::default();
        shadowed.declare("window");
        shadowed.declare("stream");
        assert_eq!(known("typeof window === 'undefined'", &shadowed), [Outcome::Unknown, Outcome::Unknown]);
        assert_eq!(known("typeof document === 'undefined'", &shadowed), [Outcome::Holds, Outcome::Fails]);
        shadowed.declare("process");
        assert_eq!(known("process.browser", &shadowed), [Outcome::Unknown, Outcome::Unknown]);
    }
}
