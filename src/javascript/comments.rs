use std::ops::Range;

use oxc_allocator::Allocator;
use oxc_parser::{ParseOptions, Parser};
use oxc_span::SourceType;

/// Where the comments of a file are, from its start to its end. Of code that does not parse, none may be known.
pub fn comments(source: &str, source_type: SourceType) -> Vec<Range<usize>> {
    let arena = Allocator::default();
    let options = ParseOptions { allow_return_outside_function: true, ..ParseOptions::default() };
    let parsed = Parser::new(&arena, source, source_type).with_options(options).parse();
    parsed.program.comments.iter().map(|comment| comment.span.start as usize..comment.span.end as usize).collect()
}
