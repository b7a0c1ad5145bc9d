mod branches;
mod named_files;
mod position;
mod reaches;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use oxc_allocator::Allocator;
use oxc_ast::AstKind;
use oxc_ast::ast::{
    AssignmentExpression, AssignmentTarget, BindingIdentifier, CallExpression, ConditionalExpression,
    ExportNamedDeclaration, Expression, IdentifierReference, IfStatement, ImportExpression, LogicalExpression,
    NewExpression, PropertyDefinition, Statement, SwitchCase, TSImportEqualsDeclaration, TSModuleReference,
    TryStatement, UnaryExpression, UnaryOperator, VariableDeclarator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_parser::{ParseOptions, Parser};
use oxc_span::{GetSpan as _, SourceType, Span};
use position::Position;
use reaches::ReachesReader;

use super::bundles::Bundle;
use super::conditions::Shadowed;
use super::constant_paths::{ConstantPath, Known, before_query, called_name, constant_path, first, text};
use super::control_flow::{function_called_at_once, function_gives_up, functions_called_by, gives_up};
use super::frameworks::{NestNames, loaded_by_call, loaded_by_new};
use super::lines::Lines;
use super::module_kind::{CommonJsNames, Written, only_asks};
use super::ports::{default_port, mentions_port, port};
use super::requires::Requires;
use super::serving::ServingReader;
use super::{FileUse, Module, NamedFile, Origin, Request, RequestKind, When};

/// The name of this reader of code. It changes when what it finds does.
pub const READER: &str = "javascript 9";

thread_local! {
    /// What code is parsed into, file after file, so that no memory is asked for again and again.
    static ARENA: RefCell<Allocator> = RefCell::default();
}

/// An arena that grew beyond so many bytes is not kept for the next file.
const LARGEST_ARENA: usize = 8 << 20;

/// Reads the text of a file. Code that does not parse gives what was understood of it.
pub fn read(source: &str, source_type: SourceType) -> Module {
    let mut arena = ARENA.take();
    let module = read_into(&arena, source, source_type);
    arena.reset();
    if arena.capacity() <= LARGEST_ARENA {
        ARENA.set(arena);
    }
    module
}

fn read_into(arena: &Allocator, source: &str, source_type: SourceType) -> Module {
    // A module of CommonJS is the body of a function.
    let options = ParseOptions { allow_return_outside_function: true, ..ParseOptions::default() };
    let parsed = Parser::new(arena, source, source_type).with_options(options).parse();
    let mut reader = Reader::default();
    for (specifier, requests) in &parsed.module_record.requested_modules {
        for request in requests.iter().filter(|request| !request.is_type) {
            reader.request(specifier.as_str(), RequestKind::Import, request.statement_span.start);
        }
    }
    for import in &parsed.module_record.import_entries {
        reader.nest.import(&import.module_request.name, &import.local_name.name);
    }
    reader.called_at_once = functions_called_by(&parsed.program);
    reader.visit_program(&parsed.program);
    let mut module = reader.finish(source);
    module.written.as_es_module = parsed.module_record.has_module_syntax;
    module.syntax_error = parsed.diagnostics.iter().next().map(|error| error.message.to_string());
    module
}

/// What was found, with the module of a bundle in which it stands and its place.
struct Found<T> {
    module: usize,
    when: When,
    is_caught: bool,
    is_unlikely: bool,
    offset: u32,
    what: T,
}

#[derive(Default)]
struct Reader {
    position: Position,
    around: Vec<Position>,
    bundle: Bundle,
    /// Where functions begin that are called where they stand.
    called_at_once: BTreeSet<u32>,
    requires: Requires,
    commonjs: CommonJsNames,
    shadowed: Shadowed,
    nest: NestNames,
    known: Known,
    /// Paths that variables within functions hold, by name; of functions with the same name for one, that of the last.
    known_inside: Known,
    /// Code whose failure is caught, with who catches it.
    tries: Vec<(Span, Span)>,
    /// What is done with the paths at these places.
    uses: BTreeMap<u32, FileUse>,
    /// Where paths end that were taken in whole.
    path_end: u32,
    /// Whether what is declared here is exported.
    is_exported: bool,
    /// Where the sum begins that was looked at last; its left operands begin there too.
    sum_start: Option<u32>,
    requests: Vec<Found<(String, RequestKind)>>,
    files: Vec<Found<(ConstantPath, FileUse)>>,
    computed: Vec<u32>,
    reaches: ReachesReader,
    ports: BTreeSet<u16>,
    serving: ServingReader,
}

impl Reader {
    fn finish(mut self, source: &str) -> Module {
        let lines = Lines::of(source);
        let modules = self.bundle.when();
        let request = |found: Found<(String, RequestKind)>| Request {
            line: lines.at(found.offset),
            specifier: found.what.0,
            kind: found.what.1,
            when: found.when.max(modules[found.module]),
            is_caught: found.is_caught,
            is_unlikely: found.is_unlikely,
        };
        let asks_for_absence = |handler: &Span| {
            source.get(handler.start as usize..handler.end as usize).is_some_and(|text| text.contains("ENOENT"))
        };
        self.tries.retain(|(_, handler)| asks_for_absence(handler));
        let may_be_missing =
            |offset: u32| self.tries.iter().any(|(tried, _)| tried.start <= offset && offset < tried.end);
        let file = |found: Found<(ConstantPath, FileUse)>| {
            Some(NamedFile {
                line: lines.at(found.offset),
                origin: found.what.0.origin,
                path: found.what.0.normal()?,
                is_open: found.what.0.is_open,
                used: found.what.1,
                may_be_missing: may_be_missing(found.offset),
                when: found.when.max(modules[found.module]),
            })
        };
        let mut requests: Vec<Request> = self.requests.into_iter().map(request).collect();
        let mut files: Vec<NamedFile> = self.files.into_iter().filter_map(file).collect();
        requests.sort();
        requests.dedup();
        files.sort();
        files.dedup();
        let computed = self.computed.into_iter().map(|offset| lines.at(offset)).collect();
        let serving = self.serving.finish(source, |offset| lines.at(offset));
        let for_commonjs = self.commonjs.first().map(|(offset, name)| (lines.at(offset), name));
        let written = Written { as_es_module: false, for_commonjs };
        let reaches = self.reaches.finish(source, &requests);
        Module { requests, files, computed, reaches, ports: self.ports, serving, written, syntax_error: None }
    }

    fn request(&mut self, specifier: &str, kind: RequestKind, offset: u32) {
        let Position { module, when, is_caught, is_unlikely, .. } = self.position;
        self.requests.push(Found { module, when, is_caught, is_unlikely, offset, what: (specifier.to_owned(), kind) });
    }

    /// Takes in a request by an expression, whose value may be known only when the code runs.
    fn request_of(&mut self, argument: Option<&Expression<'_>>, kind: RequestKind, offset: u32) {
        let Some(argument) = argument else { return };
        match text(argument).or_else(|| before_query(argument).filter(|_| kind.is_by_url())) {
            Some(specifier) => self.request(&specifier, kind, offset),
            None => match constant_path(argument, &self.known).filter(is_here).and_then(|path| path.normal()) {
                Some(path) => self.request(&format!("./{path}"), kind, offset),
                None => {
                    self.computed.push(offset);
                    self.reach_by_request(argument);
                }
            },
        }
    }
}

fn is_here(path: &ConstantPath) -> bool {
    path.origin == Origin::ThisDirectory && !path.is_open
}

impl<'a> Visit<'a> for Reader {
    fn enter_node(&mut self, kind: AstKind<'a>) {
        match kind {
            AstKind::Function(function) => self.enter_function(function.span.start, &function.params),
            AstKind::ArrowFunctionExpression(arrow) => self.enter_function(arrow.span.start, &arrow.params),
            AstKind::VariableDeclaration(declaration) => self.serving.declare(declaration),
            _ => {}
        }
    }

    fn leave_node(&mut self, kind: AstKind<'a>) {
        if let AstKind::Function(_) | AstKind::ArrowFunctionExpression(_) = kind
            && let Some(position) = self.around.pop()
        {
            self.position = position;
        }
    }

    fn visit_expression(&mut self, expression: &Expression<'a>) {
        let may_be_path = matches!(
            expression,
            Expression::CallExpression(_)
                | Expression::NewExpression(_)
                | Expression::BinaryExpression(_)
                | Expression::TemplateLiteral(_)
        );
        if may_be_path {
            self.name_file(expression);
        }
        self.reach_by_expression(expression);
        walk::walk_expression(self, expression);
    }

    /// `typeof __dirname` hands nothing on, and needs nothing of this name.
    fn visit_unary_expression(&mut self, unary: &UnaryExpression<'a>) {
        if unary.operator == UnaryOperator::Typeof {
            self.reaches.is_harmless(unary.span);
        }
        if !only_asks(unary) {
            walk::walk_unary_expression(self, unary);
        }
    }

    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        let offset = call.span.start;
        let argument = first(&call.arguments);
        if let Some(kind) = self.requires.kind_of_call(call, self.position.require_is_parameter) {
            self.request_of(argument, kind, offset);
            if let Some(argument) = argument {
                self.path_end = self.path_end.max(argument.span().end);
            }
        }
        // `fork(path.join(__dirname, 'x.js'))`
        if called_name(&call.callee) == Some("fork")
            && let Some(argument) = argument
            && constant_path(argument, &self.known).is_some()
        {
            self.request_of(Some(argument), RequestKind::Program, offset);
            self.path_end = self.path_end.max(argument.span().end);
        }
        self.bundle.call(self.position.module, call, self.position.when);
        self.reach_by_call(call);
        self.note_uses(call);
        self.note_made(&call.callee, &call.arguments);
        self.serving.call(call);
        loaded_by_call(call).iter().for_each(|package| self.request(package, RequestKind::Framework, offset));
        self.called_at_once.extend(function_called_at_once(call));
        // What fails is caught: `import('x').catch(…)`, `import('x').then(…, …)`.
        let catcher = match call.callee.get_inner_expression() {
            Expression::StaticMemberExpression(member) => match member.property.name.as_str() {
                "catch" => call.arguments.first(),
                "then" => call.arguments.get(1),
                _ => None,
            },
            _ => None,
        };
        match catcher {
            Some(catcher) => {
                self.tries.push((call.callee.span(), catcher.span()));
                let gives_up = catcher.as_expression().is_some_and(function_gives_up);
                self.caught(gives_up, |reader| reader.visit_expression(&call.callee));
                call.arguments.iter().for_each(|argument| self.visit_argument(argument));
            }
            None => walk::walk_call_expression(self, call),
        }
    }

    /// `new Worker(new URL('./x.js', import.meta.url))`
    fn visit_new_expression(&mut self, new: &NewExpression<'a>) {
        if called_name(&new.callee) == Some("Worker")
            && let Some(argument) = first(&new.arguments)
            && constant_path(argument, &self.known).is_some()
        {
            self.request_of(Some(argument), RequestKind::Program, new.span.start);
            self.path_end = self.path_end.max(argument.span().end);
        }
        self.note_made(&new.callee, &new.arguments);
        let loaded = loaded_by_new(new, &self.nest);
        loaded.iter().for_each(|package| self.request(package, RequestKind::Framework, new.span.start));
        walk::walk_new_expression(self, new);
    }

    fn visit_binding_identifier(&mut self, binding: &BindingIdentifier<'a>) {
        self.commonjs.declare(binding);
        self.shadowed.declare(&binding.name);
    }

    fn visit_identifier_reference(&mut self, reference: &IdentifierReference<'a>) {
        // Modules of a bundle have functions of these names as their parameters.
        if self.position.module == 0 {
            self.commonjs.refer(reference, self.position.when);
        }
    }

    fn visit_export_named_declaration(&mut self, export: &ExportNamedDeclaration<'a>) {
        self.is_exported = true;
        walk::walk_export_named_declaration(self, export);
        self.is_exported = false;
    }

    fn visit_import_expression(&mut self, import: &ImportExpression<'a>) {
        self.request_of(Some(&import.source), RequestKind::DynamicImport, import.span.start);
        self.path_end = self.path_end.max(import.source.span().end);
        walk::walk_import_expression(self, import);
    }

    /// TypeScript's `import x = require('x')`
    fn visit_ts_import_equals_declaration(&mut self, import: &TSImportEqualsDeclaration<'a>) {
        if let TSModuleReference::ExternalModuleReference(reference) = &import.module_reference
            && import.import_kind.is_value()
        {
            self.request(reference.expression.value.as_str(), RequestKind::Require, import.span.start);
        }
        walk::walk_ts_import_equals_declaration(self, import);
    }

    fn visit_if_statement(&mut self, statement: &IfStatement<'a>) {
        self.branch_of_statement(statement);
    }

    fn visit_conditional_expression(&mut self, conditional: &ConditionalExpression<'a>) {
        self.branch_of_expression(conditional);
    }

    fn visit_switch_case(&mut self, case: &SwitchCase<'a>) {
        self.guarded(|reader| walk::walk_switch_case(reader, case));
    }

    fn visit_try_statement(&mut self, statement: &TryStatement<'a>) {
        match &statement.handler {
            Some(handler) => {
                self.tries.push((statement.block.span, handler.span));
                self.caught(gives_up(&handler.body.body), |reader| reader.visit_block_statement(&statement.block));
                self.guarded(|reader| reader.visit_catch_clause(handler));
            }
            None => self.visit_block_statement(&statement.block),
        }
        statement.finalizer.iter().for_each(|finalizer| self.visit_block_statement(finalizer));
    }

    /// A loop may run not even once.
    fn visit_statement(&mut self, statement: &Statement<'a>) {
        match statement {
            Statement::ForStatement(_)
            | Statement::ForInStatement(_)
            | Statement::ForOfStatement(_)
            | Statement::WhileStatement(_) => self.guarded(|reader| walk::walk_statement(reader, statement)),
            _ => walk::walk_statement(self, statement),
        }
    }

    /// The value of a field is computed when somebody makes an object; that of a static one at once.
    fn visit_property_definition(&mut self, property: &PropertyDefinition<'a>) {
        match property.r#static {
            true => walk::walk_property_definition(self, property),
            false => self.at_most(When::Later, |reader| walk::walk_property_definition(reader, property)),
        }
    }

    /// `load = require`
    fn visit_assignment_expression(&mut self, assignment: &AssignmentExpression<'a>) {
        if let AssignmentTarget::AssignmentTargetIdentifier(id) = &assignment.left
            && !self.position.require_is_parameter
        {
            self.requires.alias(id.name.as_str(), &assignment.right);
        }
        walk::walk_assignment_expression(self, assignment);
    }

    /// `a && b`, `a || b`, `a ?? b`; and the port in `process.env.PORT || 3000`.
    fn visit_logical_expression(&mut self, expression: &LogicalExpression<'a>) {
        if mentions_port(&expression.left) {
            self.ports.extend(port(&expression.right));
        }
        self.right_side(expression);
    }

    fn visit_variable_declarator(&mut self, declarator: &VariableDeclarator<'a>) {
        self.bundle.declare(declarator);
        self.nest.declare(declarator);
        if let (Some(init), Some(name)) = (&declarator.init, declarator.id.get_identifier_name()) {
            match init.get_inner_expression() {
                Expression::CallExpression(call) => self.requires.declare(name.as_str(), call),
                _ if self.position.require_is_parameter => {}
                value => self.requires.alias(name.as_str(), value),
            }
            self.know(name.as_str(), init);
        }
        self.ports.extend(default_port(declarator));
        walk::walk_variable_declarator(self, declarator);
    }
}
