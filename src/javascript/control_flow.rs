//! What decides whether code is reached.

use std::collections::BTreeSet;

use oxc_ast::ast::{ArrowFunctionBody, CallExpression, Declaration, Expression, Program, Statement};
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

/// Whether statements end in any case with an error, or with the process: what they catch is not done without.
///
/// `catch (error) { console.error(error); process.exit(1) }`
pub(super) fn gives_up(statements: &[Statement<'_>]) -> bool {
    // What returns before may be done without after all.
    let before_return = statements.iter().take_while(|statement| !returns(statement));
    before_return.into_iter().any(|statement| match statement {
        Statement::ThrowStatement(_) => true,
        Statement::BlockStatement(block) => gives_up(&block.body),
        Statement::ExpressionStatement(statement) => ends_process(&statement.expression),
        _ => false,
    })
}

/// The same of a function that is told of an error: `.catch((error) => { throw error })`.
pub(super) fn function_gives_up(function: &Expression<'_>) -> bool {
    match function.get_inner_expression() {
        Expression::FunctionExpression(function) => {
            function.body.as_ref().is_some_and(|body| gives_up(&body.statements))
        }
        Expression::ArrowFunctionExpression(arrow) => match &arrow.body {
            ArrowFunctionBody::FunctionBody(body) => gives_up(&body.statements),
            body => body.as_expression().is_some_and(ends_process),
        },
        _ => false,
    }
}

/// `process.exit(…)`, `process.abort()`
fn ends_process(expression: &Expression<'_>) -> bool {
    let Expression::CallExpression(call) = expression.get_inner_expression() else { return false };
    let Expression::StaticMemberExpression(member) = call.callee.get_inner_expression() else { return false };
    member.object.get_inner_expression().is_specific_id("process")
        && ["exit", "abort"].contains(&member.property.name.as_str())
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

/// Where the functions of a file begin that the file itself calls as soon as it is loaded: `main();`, `await main();`,
/// `void main().catch(…);`.
pub(super) fn functions_called_by(program: &Program<'_>) -> BTreeSet<u32> {
    let called: BTreeSet<&str> = program.body.iter().filter_map(called_by).collect();
    let mut functions = BTreeSet::new();
    for declaration in program.body.iter().filter_map(declaration) {
        match declaration {
            Declaration::FunctionDeclaration(function) => {
                let name = function.id.as_ref().map(|id| id.name.as_str());
                functions.extend(name.filter(|name| called.contains(name)).map(|_| function.span.start));
            }
            Declaration::VariableDeclaration(variables) => {
                let named = variables.declarations.iter().filter(|variable| {
                    variable.id.get_identifier_name().is_some_and(|name| called.contains(name.as_str()))
                });
                let values = named.filter_map(|variable| Some(variable.init.as_ref()?.get_inner_expression()));
                functions.extend(values.filter(|value| value.is_function()).map(|value| value.span().start));
            }
            _ => {}
        }
    }
    functions
}

/// What a statement declares, exported or not.
fn declaration<'p, 'a>(statement: &'p Statement<'a>) -> Option<&'p Declaration<'a>> {
    match statement {
        Statement::ExportDeclaration(export) => Some(&export.declaration),
        statement => statement.as_declaration(),
    }
}

/// The name of the function that a statement calls, whatever is done with its result.
fn called_by<'p>(statement: &'p Statement<'_>) -> Option<&'p str> {
    let Statement::ExpressionStatement(statement) = statement else { return None };
    let mut expression = &statement.expression;
    loop {
        expression = match expression.get_inner_expression() {
            Expression::AwaitExpression(awaited) => &awaited.argument,
            Expression::UnaryExpression(unary) => &unary.argument,
            Expression::CallExpression(call) => match call.callee.get_inner_expression() {
                Expression::Identifier(id) => return Some(id.name.as_str()),
                Expression::StaticMemberExpression(member)
                    if ["then", "catch", "finally"].contains(&member.property.name.as_str()) =>
                {
                    &member.object
                }
                _ => return None,
            },
            _ => return None,
        }
    }
}
