//! Whether a file is written as an ES module or for CommonJS.

use std::collections::BTreeSet;

use oxc_ast::ast::{BindingIdentifier, Expression, IdentifierReference, UnaryExpression, UnaryOperator};
use serde::{Deserialize, Serialize};

use super::When;

/// What only modules of CommonJS have.
const OF_COMMONJS: [&str; 5] = ["require", "module", "exports", "__dirname", "__filename"];

/// How a file is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Whether it has `import` or `export`, which CommonJS has not.
    pub as_es_module: bool,
    /// A name that ES modules do not have, with the line at which it is used as soon as the file is loaded.
    pub for_commonjs: Option<(u32, String)>,
}

/// Looks for names that only CommonJS has.
#[derive(Default)]
pub(super) struct CommonJsNames {
    /// Where the first of each stands.
    used: Vec<(u32, String)>,
    /// What the file itself declares.
    declared: BTreeSet<String>,
}

impl CommonJsNames {
    pub fn declare(&mut self, binding: &BindingIdentifier<'_>) {
        if OF_COMMONJS.contains(&binding.name.as_str()) {
            self.declared.insert(binding.name.to_string());
        }
    }

    pub fn refer(&mut self, reference: &IdentifierReference<'_>, when: When) {
        let name = reference.name.as_str();
        if when == When::AtStart && OF_COMMONJS.contains(&name) && self.used.iter().all(|(_, used)| used != name) {
            self.used.push((reference.span.start, name.to_owned()));
        }
    }

    /// The first name that is used and not declared.
    pub fn first(self) -> Option<(u32, String)> {
        let Self { used, declared } = self;
        used.into_iter().filter(|(_, name)| !declared.contains(name)).min()
    }
}

/// Whether this only asks if a name is there: `typeof module`.
pub(super) fn only_asks(unary: &UnaryExpression<'_>) -> bool {
    unary.operator == UnaryOperator::Typeof && matches!(unary.argument, Expression::Identifier(_))
}
