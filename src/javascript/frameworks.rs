//! Packages that calls of frameworks load at once, though the code that loads them looks as if it might never run.
//!
//! Source: NestJS 8 to 11: `NestFactory.create` and `createMicroservice`, and `connectMicroservice` of what those make, in
//! `@nestjs/core`; `ValidationPipe` and `ClassSerializerInterceptor` in `@nestjs/common`; each by `loadPackage`.

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
        // Nobody else has a method of this name.
        "connectMicroservice" => &["@nestjs/microservices"],
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

/// What TypeScript and swc call what they import from `@nestjs/common`; others have classes of the same names too.
const NEST_COMMON: [&str; 2] = ["common_1", "_common"];

/// The packages that making an object loads.
pub(super) fn loaded_by_new(new: &NewExpression<'_>) -> &'static [&'static str] {
    let Expression::StaticMemberExpression(class) = new.callee.get_inner_expression() else { return &[] };
    let is_nest = NEST_COMMON.iter().any(|name| class.object.get_inner_expression().is_specific_id(name));
    match class.property.name.as_str() {
        "ValidationPipe" if is_nest && !names_packages(new.arguments.first()) => {
            &["class-validator", "class-transformer"]
        }
        "ClassSerializerInterceptor" if is_nest && !names_packages(new.arguments.get(1)) => &["class-transformer"],
        _ => &[],
    }
}

/// Whether options may name other packages to take, such as `validatorPackage`.
fn names_packages(options: Option<&Argument<'_>>) -> bool {
    match options.and_then(Argument::as_expression) {
        Some(Expression::ObjectExpression(options)) => options.properties.iter().any(|property| match property {
            ObjectPropertyKind::ObjectProperty(property) => {
                property.key.static_name().is_none_or(|key| key.ends_with("Package"))
            }
            ObjectPropertyKind::SpreadProperty(_) => true,
        }),
        Some(_) => true,
        None => options.is_some(),
    }
}
