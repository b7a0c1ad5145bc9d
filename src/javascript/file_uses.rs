//! What functions do with the files whose paths they are given.

use oxc_ast::ast::{Argument, Expression};

use super::FileUse;
use super::constant_paths::{called_name, first};
use super::serving::property;

/// What functions of these names do with the paths they are given.
/// Source: Node's documentation, "File system"; express and fastify-static for sending.
pub(super) fn use_of(function: &str) -> Option<FileUse> {
    match function {
        "readFileSync" | "readdirSync" | "openSync" | "statSync" | "lstatSync" | "opendirSync" | "readJsonSync"
        | "readJSONSync" | "loadSync" => Some(FileUse::ReadSync),
        "readFile" | "readdir" | "createReadStream" | "sendFile" | "opendir" | "readJson" | "readJSON" => {
            Some(FileUse::Read)
        }
        "mkdirSync" | "mkdtempSync" | "ensureDirSync" | "ensureFileSync" | "outputFileSync" | "writeFileSync"
        | "appendFileSync" => Some(FileUse::MadeSync),
        "mkdir" | "mkdtemp" | "mkdirp" | "ensureDir" | "ensureFile" | "outputFile" | "writeFile" | "appendFile"
        | "createWriteStream" => Some(FileUse::Made),
        "existsSync" | "exists" | "access" | "accessSync" | "pathExists" | "pathExistsSync" | "stat" | "lstat"
        | "rm" | "rmSync" | "rmdir" | "rmdirSync" | "unlink" | "unlinkSync" | "remove" | "removeSync" | "emptyDir"
        | "emptyDirSync" | "watch" | "watchFile" | "diskStorage" | "symlink" | "symlinkSync" | "rename"
        | "renameSync" | "copyFile" | "copyFileSync" | "cp" | "cpSync" => Some(FileUse::Optional),
        _ => None,
    }
}

/// Whether a function is likely one of `fs`.
pub(super) fn is_file_system(callee: &Expression<'_>) -> bool {
    match callee.get_inner_expression() {
        Expression::StaticMemberExpression(member) => match member.object.get_inner_expression() {
            Expression::Identifier(id) => id.name.starts_with("fs") || id.name.starts_with("node_fs"),
            Expression::StaticMemberExpression(inner) => {
                matches!(inner.property.name.as_str(), "default" | "promises") && is_file_system_name(&inner.object)
            }
            _ => false,
        },
        Expression::Identifier(id) => matches!(
            id.name.as_str(),
            "readFileSync" | "readFile" | "createReadStream" | "mkdirSync" | "writeFileSync" | "createWriteStream"
        ),
        Expression::SequenceExpression(sequence) => sequence.expressions.last().is_some_and(is_file_system),
        _ => false,
    }
}

fn is_file_system_name(expression: &Expression<'_>) -> bool {
    matches!(expression.get_inner_expression(), Expression::Identifier(id) if id.name.starts_with("fs"))
}

/// The path of what a library makes as soon as it is given it: log files of winston, uploads of multer.
/// Source: their documentation.
pub(super) fn made_by_library<'e, 'a>(
    callee: &Expression<'_>,
    arguments: &'e [Argument<'a>],
) -> Option<&'e Expression<'a>> {
    let keys: &[&str] = match called_name(callee)? {
        "File" | "DailyRotateFile" => &["dirname", "filename"],
        "multer" => &["dest"],
        _ => return None,
    };
    let Expression::ObjectExpression(options) = first(arguments)?.get_inner_expression() else { return None };
    keys.iter().find_map(|key| property(options, key))
}
