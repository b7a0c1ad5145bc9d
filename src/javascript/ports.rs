//! The port that code listens on where nobody sets `PORT`.

use oxc_ast::ast::Expression;

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

/// A literal that can be a port.
pub(super) fn port(expression: &Expression<'_>) -> Option<u16> {
    let port = match expression {
        Expression::NumericLiteral(number) => number.value.to_string().parse().ok()?,
        Expression::StringLiteral(text) => text.value.parse().ok()?,
        _ => return None,
    };
    (port != 0).then_some(port)
}
