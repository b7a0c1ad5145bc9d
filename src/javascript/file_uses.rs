//! What functions do with the files whose paths they are given.

use oxc_ast::ast::Expression;

use super::FileUse;

/// What functions of these names do with the paths they are given.
/// Source: Node's documentation, "File system"; express and fastify-static for sending.
pub(super) fn use_of(function: &str) -> Option<FileUse> {
    match function {
        "readFileSync" | "readdirSync" | "openSync" | "statSync" | "lstatSync" | "opendirSync" | "readJsonSync"
        | "readJSONSync" | "loadSync" => Some(FileUse::ReadSync),
        "readFile" | "readdir" | "createReadStream" | "sendFile" | "opendir" | "readJson" | "readJSON" => {
            Some(FileUse::Read)
        }
        "existsSync" | "exists" | "access" | "accessSync" | "pathExists" | "pathExistsSync" | "stat" | "lstat"
        | "mkdir" | "mkdirSync" | "mkdtemp" | "mkdtempSync" | "mkdirp" | "ensureDir" | "ensureDirSync"
        | "ensureFile" | "ensureFileSync" | "outputFile" | "outputFileSync" | "writeFile" | "writeFileSync"
        | "appendFile" | "appendFileSync" | "createWriteStream" | "rm" | "rmSync" | "rmdir" | "rmdirSync"
        | "unlink" | "unlinkSync" | "remove" | "removeSync" | "emptyDir" | "emptyDirSync" | "watch" | "watchFile"
        | "diskStorage" | "symlink" | "symlinkSync" | "rename" | "renameSync" | "copyFile" | "copyFileSync" | "cp"
        | "cpSync" => Some(FileUse::Optional),
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
        Expression::Identifier(id) => matches!(id.name.as_str(), "readFileSync" | "readFile" | "createReadStream"),
        Expression::SequenceExpression(sequence) => sequence.expressions.last().is_some_and(is_file_system),
        _ => false,
    }
}

fn is_file_system_name(expression: &Expression<'_>) -> bool {
    matches!(expression.get_inner_expression(), Expression::Identifier(id) if id.name.starts_with("fs"))
}
