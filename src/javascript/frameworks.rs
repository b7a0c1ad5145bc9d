//! Packages that calls of frameworks load at once, though the code that loads them looks as if it might never run.
//!
//! Source: NestJS 8 to 11: `NestFactory.create` and `createMicroservice` in `@nestjs/core`, `ValidationPipe` in
//! `@nestjs/common`, each by `loadPackage`.

use oxc_ast::ast::{Argument, CallExpression, Expression, NewExpression, ObjectPropertyKind};

use super::constant_paths::is_member_of;

/// The package of the framework that loads another, where that one lies for it and not for the code that calls it.
pub fn loader_of(package: &str) -> Option<&'static str> {
    match package {
        "@nestjs/platform-express" | "@nestjs/microservices" => Some("@nestjs/core"),
        "class-validator" | "class-transformer" => Some("@nestjs/common"),
        _ => None,
    }
}

/// The packages that a call loads.
pub(super) fn loaded_by_call(call: &CallExpression<'_>) -> &'static [&'static str] {
    let Expression::StaticMemberExpression(method) = call.callee.get_inner_expression() else { return &[] };
    let is_nest = match method.object.get_inner_expression() {
        Expression::StaticMemberExpression(member) => member.property.name == "NestFactory",
        _ => is_member_of(&call.callee, "NestFactory"),
    };
    match method.property.name.as_str() {
        // An adapter in the second place loads what it needs by itself.
        "create" if is_nest && is_without_adapter(&call.arguments) => &["@nestjs/platform-express"],
        "createMicroservice" if is_nest => &["@nestjs/microservices"],
        _ => &[],
    }
}

fn is_without_adapter(arguments: &[Argument<'_>]) -> bool {
    match arguments {
        [_] => true,
        [_, options] => matches!(options.as_expression(), Some(Expression::ObjectExpression(_))),
        _ => false,
    }
}

/// The packages that making an object loads.
pub(super) fn loaded_by_new(new: &NewExpression<'_>) -> &'static [&'static str] {
    let is_nest = match new.callee.get_inner_expression() {
        // As TypeScript writes what is imported from `@nestjs/common`; others have classes of that name too.
        Expression::StaticMemberExpression(class) => {
            class.property.name == "ValidationPipe" && class.object.get_inner_expression().is_specific_id("common_1")
        }
        _ => false,
    };
    let names_others = || match new.arguments.first().and_then(Argument::as_expression) {
        Some(Expression::ObjectExpression(options)) => options.properties.iter().any(|property| match property {
            ObjectPropertyKind::ObjectProperty(property) => {
                property.key.static_name().is_none_or(|key| key.ends_with("Package"))
            }
            ObjectPropertyKind::SpreadProperty(_) => true,
        }),
        Some(_) => true,
        None => false,
    };
    if is_nest && !names_others() { &["class-validator", "class-transformer"] } else { &[] }
}
