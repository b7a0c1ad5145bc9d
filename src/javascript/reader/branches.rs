//! Code that runs only if a condition holds.

use oxc_ast::ast::{ConditionalExpression, IfStatement, LogicalExpression, LogicalOperator, Statement};
use oxc_ast_visit::Visit as _;

use super::Reader;
use crate::javascript::When;
use crate::javascript::conditions::{Outcome, outcomes};
use crate::javascript::control_flow::returns;

impl Reader {
    pub(super) fn branch_of_statement(&mut self, statement: &IfStatement<'_>) {
        let IfStatement { test, consequent, alternate, .. } = statement;
        self.visit_expression(test);
        let [holds, fails] = outcomes(test, &self.shadowed);
        self.only_if(holds, |reader| reader.visit_statement(consequent));
        self.only_if(fails, |reader| alternate.iter().for_each(|alternate| reader.visit_statement(alternate)));
        // What follows is reached only if nothing returned before.
        let may_return = |outcome, branch: &Statement<'_>| outcome != Outcome::Fails && returns(branch);
        if may_return(holds, consequent) || alternate.iter().any(|alternate| may_return(fails, alternate)) {
            self.position.when = self.position.when.max(When::Guarded);
        }
    }

    pub(super) fn branch_of_expression(&mut self, conditional: &ConditionalExpression<'_>) {
        self.visit_expression(&conditional.test);
        let [holds, fails] = outcomes(&conditional.test, &self.shadowed);
        self.only_if(holds, |reader| reader.visit_expression(&conditional.consequent));
        self.only_if(fails, |reader| reader.visit_expression(&conditional.alternate));
    }

    /// `a && b`, `a || b`, `a ?? b`
    pub(super) fn right_side(&mut self, expression: &LogicalExpression<'_>) {
        self.visit_expression(&expression.left);
        let [holds, fails] = outcomes(&expression.left, &self.shadowed);
        let is_reached = match expression.operator {
            LogicalOperator::And => holds,
            LogicalOperator::Or => fails,
            LogicalOperator::Coalesce => Outcome::Unknown,
        };
        self.only_if(is_reached, |reader| reader.visit_expression(&expression.right));
    }
}
