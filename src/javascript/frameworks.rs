//! Packages that calls of frameworks load at once, though the code that loads them looks as if it might never run.
//!
//! Source: NestJS 8 to 11: `NestFactory.create` and `createMicroservice`, and `connectMicroservice` of what those make, in
//! `@nestjs/core`; `ValidationPipe` and `ClassSerializerInterceptor` in `@nestjs/common`; each by `loadPackage`.

use std::collections::BTreeSet;

use oxc_ast::ast::{Argument, CallExpression, Expression, NewExpression, ObjectPropertyKind, VariableDeclarator};

use super::constant_paths::{first, is_member_of};

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

/// The names that a file has for `@nestjs/common`, and for classes of it; others have classes that are called the same.
pub(super) struct NestNames(BTreeSet<String>);

impl Default for NestNames {
    /// What TypeScript and swc call it, which bundles keep.
    fn default() -> Self {
        Self(["common_1", "_common"].map(str::to_owned).into())
    }
}

impl NestNames {
    const MODULE: &str = "@nestjs/common";

    /// `import { ValidationPipe } from '@nestjs/common'`, `import * as nest from '@nestjs/common'`
    pub fn import(&mut self, specifier: &str, name: &str) {
        self.0.extend((specifier == Self::MODULE).then(|| name.to_owned()));
    }

    /// `const nest = require('@nestjs/common')`, `const { ValidationPipe } = require('@nestjs/common')`
    pub fn declare(&mut self, declarator: &VariableDeclarator<'_>) {
        // As TypeScript writes `import * as`: `__importStar(require(…))`.
        let argument = declarator.init.as_ref().and_then(argument);
        let inner = argument.and_then(self::argument);
        if [argument, inner].into_iter().flatten().any(|it| it.is_specific_string_literal(Self::MODULE)) {
            let names = declarator.id.get_binding_identifiers();
            self.0.extend(names.into_iter().map(|name| name.name.to_string()));
        }
    }

    /// The class that an object is made of, if it is one of NestJS.
    fn class<'n>(&self, new: &'n NewExpression<'_>) -> Option<&'n str> {
        let (origin, class) = match new.callee.get_inner_expression() {
            Expression::Identifier(class) => (&class.name, &class.name),
            Expression::StaticMemberExpression(member) => match member.object.get_inner_expression() {
                Expression::Identifier(module) => (&module.name, &member.property.name),
                _ => return None,
            },
            _ => return None,
        };
        self.0.contains(origin.as_str()).then_some(class.as_str())
    }
}

/// What a call hands on first.
fn argument<'e, 'a>(expression: &'e Expression<'a>) -> Option<&'e Expression<'a>> {
    match expression.get_inner_expression() {
        Expression::CallExpression(call) => first(&call.arguments),
        _ => None,
    }
}

/// The packages that making an object loads.
pub(super) fn loaded_by_new(new: &NewExpression<'_>, names: &NestNames) -> &'static [&'static str] {
    match names.class(new) {
        Some("ValidationPipe") if !names_packages(new.arguments.first()) => &["class-validator", "class-transformer"],
        Some("ClassSerializerInterceptor") if !names_packages(new.arguments.get(1)) => &["class-transformer"],
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

#[cfg(test)]
mod tests {
    use super::super::{RequestKind, read, source_type};

    #[test]
    fn packages_that_nest_loads() {
        let (both, second): (&[&str], &[&str]) = (&["class-transformer", "class-validator"], &["class-transformer"]);
        let named = "import { ValidationPipe } from '@nestjs/common';";
        let table: [(&str, &str, &[&str]); 15] = [
            ("", "new common_1.ValidationPipe()", both),
            ("", "new _common.ValidationPipe({ transform: true })", both),
            ("", "new common_1.ParseIntPipe()", &[]),
            ("", "new ValidationPipe()", &[]),
            ("", "new pipes.ValidationPipe()", &[]),
            (named, "new ValidationPipe()", both),
            (named, "new pipes.ValidationPipe()", &[]),
            (named, "new ValidationPipe({ validatorPackage })", &[]),
            (named, "new ValidationPipe(options)", &[]),
            (named, "new ValidationPipe(...options)", &[]),
            ("import { ValidationPipe } from './pipes.js';", "new ValidationPipe()", &[]),
            ("import * as nest from '@nestjs/common';", "new nest.ClassSerializerInterceptor(reflector)", second),
            ("const { ValidationPipe } = require('@nestjs/common');", "new ValidationPipe()", both),
            ("var nest = __importStar(require('@nestjs/common'));", "new nest.ValidationPipe()", both),
            ("", "app.connectMicroservice(options)", &["@nestjs/microservices"]),
        ];
        for (imports, code, expected) in table {
            let module = read(&format!("{imports} {code}"), source_type("main.js").unwrap());
            let loaded = module.requests.iter().filter(|request| request.kind == RequestKind::Framework);
            assert_eq!(loaded.map(|it| it.specifier.as_str()).collect::<Vec<_>>(), expected, "{imports} {code}");
        }
    }
}
