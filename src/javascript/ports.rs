//! The port that code listens on where nobody sets `PORT`.

use oxc_ast::ast::{BindingPattern, Expression, VariableDeclarator};

/// Whether the expression is `process.env.PORT`, bare or inside a conversion to a number.
pub(super) fn mentions_port(expression: &Expression<'_>) -> bool {
    match expression {
        Expression::StaticMemberExpression(member) => {
            member.property.name == "PORT" && member.object.is_specific_member_access("process", "env")
        }
        Expression::CallExpression(call) => {
            call.arguments.iter().filter_map(|argument| argument.as_expression()).any(mentions_port)
        }
        Expression::UnaryExpression(unary) => mentions_port(&unary.argument),
        Expression::ParenthesizedExpression(inner) => mentions_port(&inner.expression),
        _ => false,
    }
}

/// The default in `const { PORT = 3000 } = process.env`.
pub(super) fn default_port(declarator: &VariableDeclarator<'_>) -> Option<u16> {
    let BindingPattern::ObjectPattern(pattern) = &declarator.id else { return None };
    if !declarator.init.as_ref()?.is_specific_member_access("process", "env") {
        return None;
    }
    pattern.properties.iter().find_map(|property| match (property.key.static_name().as_deref(), &property.value) {
        (Some("PORT"), BindingPattern::AssignmentPattern(value)) => port(&value.right),
        _ => None,
    })
}

/// A literal that can be a port.
pub(super) fn port(expression: &Expression<'_>) -> Option<u16> {
    let port = match expression {
        Expression::NumericLiteral(number) => number.value.to_string().parse().ok()?,
        Expression::StringLiteral(text) => text.value.parse().ok()?,
        _ => return None,
    };
    (port != 0).then_some(port)
}
