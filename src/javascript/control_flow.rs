//! What decides whether code is reached.

use oxc_ast::ast::{CallExpression, Expression, Statement};
use oxc_span::GetSpan as _;

/// Whether a statement may leave the function, or the file, around it.
pub(super) fn returns(statement: &Statement<'_>) -> bool {
    match statement {
        Statement::ReturnStatement(_) => true,
        Statement::BlockStatement(block) => block.body.iter().any(returns),
        Statement::IfStatement(inner) => returns(&inner.consequent) || inner.alternate.as_ref().is_some_and(returns),
        _ => false,
    }
}

/// Where the function begins that is called where it stands: `(function () {})()`, `(() => {}).call(this)`.
pub(super) fn function_called_at_once(call: &CallExpression<'_>) -> Option<u32> {
    let callee = match call.callee.get_inner_expression() {
        Expression::StaticMemberExpression(member) if ["call", "apply"].contains(&member.property.name.as_str()) => {
            member.object.get_inner_expression()
        }
        callee => callee,
    };
    callee.is_function().then(|| callee.span().start)
}
