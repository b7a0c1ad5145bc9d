//! Reading a TOML document key by key, so that every error has its place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use toml_edit::{Document, Item, TableLike, TomlError, Value};

use super::{ConfigError, nearest};

/// The text of a document, to turn offsets into lines.
pub(crate) struct Source<'t> {
    /// The file, as places name it.
    file: &'t str,
    text: &'t str,
}

impl<'t> Source<'t> {
    /// Parses `text`, which is that of `file`.
    pub fn parse(file: &'t str, text: &'t str) -> Result<(Self, Document<&'t str>), ConfigError> {
        let source = Self { file, text };
        let document = Document::parse(text).map_err(|error: TomlError| ConfigError::Syntax {
            place: source.place(error.span()),
            message: error.message().to_owned(),
        })?;
        Ok((source, document))
    }

    /// FILE:LINE:COLUMN of an offset; lines and columns count from 1.
    fn place(&self, span: Option<Range<usize>>) -> String {
        let Some(before) = span.and_then(|span| self.text.get(..span.start)) else { return self.file.to_owned() };
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.file)
    }
}

/// One table of the document. The keys that are asked for are the keys there are: [`Table::finish`] refuses any other.
pub(crate) struct Table<'t> {
    source: &'t Source<'t>,
    table: &'t dyn TableLike,
    /// The table's own key and a dot, for errors.
    prefix: String,
    known: RefCell<Vec<&'static str>>,
}

impl<'t> Table<'t> {
    pub fn new(source: &'t Source<'t>, table: &'t dyn TableLike, prefix: String) -> Self {
        Self { source, table, prefix, known: RefCell::default() }
    }

    /// Refuses the keys that nobody asked for.
    pub fn finish(self) -> Result<(), ConfigError> {
        let known = self.known.borrow();
        match self.table.iter().find(|(key, _)| !known.contains(key)) {
            Some((key, _)) => Err(ConfigError::UnknownKey {
                place: self.place(key),
                key: format!("{}{key}", self.prefix),
                hint: nearest(key, known.iter().copied()),
            }),
            None => Ok(()),
        }
    }

    /// FILE:LINE:COLUMN of a key.
    pub fn place(&self, key: &str) -> String {
        let span = self.table.get_key_value(key).and_then(|(key, item)| key.span().or_else(|| item.span()));
        self.source.place(span)
    }

    fn item(&self, key: &'static str) -> Option<&'t Item> {
        self.known.borrow_mut().push(key);
        self.table.get(key).filter(|item| !item.is_none())
    }

    fn wrong_type(&self, key: &str, expected: &'static str, item: &Item) -> ConfigError {
        let found = match item {
            Item::Value(value) => type_name(value),
            Item::ArrayOfTables(_) => "a list of tables",
            _ => "a table",
        };
        ConfigError::WrongType { place: self.place(key), key: format!("{}{key}", self.prefix), expected, found }
    }

    /// An error about a value of the right type.
    pub fn problem(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Value { place: self.place(key), key: format!("{}{key}", self.prefix), problem: problem.into() }
    }

    pub fn text(&self, key: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        match item.as_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(self.wrong_type(key, "a text", item)),
        }
    }

    /// Whether a key that is no boolean otherwise is `false`.
    pub fn is_false(&self, key: &'static str) -> bool {
        self.item(key).and_then(Item::as_bool) == Some(false)
    }

    pub fn boolean(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        item.as_bool().map(Some).ok_or_else(|| self.wrong_type(key, "true or false", item))
    }

    /// An integer from 0 to `most`.
    pub fn integer(&self, key: &'static str, most: u64) -> Result<Option<u64>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        let integer = item.as_integer().ok_or_else(|| self.wrong_type(key, "an integer", item))?;
        match u64::try_from(integer) {
            Ok(integer) if integer <= most => Ok(Some(integer)),
            _ => Err(self.problem(key, format!("is not between 0 and {most}"))),
        }
    }

    pub fn texts(&self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        let error = || self.wrong_type(key, "a list of texts", item);
        let array = item.as_array().ok_or_else(error)?;
        array
            .iter()
            .map(|value| value.as_str().map(str::to_owned).ok_or_else(error))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A list of texts; a single text is a list of one.
    pub fn text_or_texts(&self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        let error = || self.wrong_type(key, "a text or a list of texts", item);
        match (item.as_str(), item.as_array()) {
            (Some(text), _) => Ok(Some(vec![text.to_owned()])),
            (_, Some(array)) => {
                let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(error);
                array.iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            _ => Err(error()),
        }
    }

    /// A list of texts or whole numbers, as texts.
    pub fn texts_or_integers(&self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        let error = || self.wrong_type(key, "a list of texts or integers", item);
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.value().clone()),
            Value::Integer(integer) => Ok(integer.value().to_string()),
            _ => Err(error()),
        };
        item.as_array().ok_or_else(error)?.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A table whose values are all texts; integers and booleans count as their texts.
    pub fn texts_by_name(&self, key: &'static str) -> Result<BTreeMap<String, String>, ConfigError> {
        let Some(table) = self.table(key)? else { return Ok(BTreeMap::new()) };
        let text = |(name, item): (&str, &Item)| match item.as_value() {
            Some(Value::String(text)) => Ok((name.to_owned(), text.value().clone())),
            Some(Value::Integer(integer)) => Ok((name.to_owned(), integer.value().to_string())),
            Some(Value::Boolean(boolean)) => Ok((name.to_owned(), boolean.value().to_string())),
            _ => Err(table.wrong_type(name, "a text", item)),
        };
        table.table.iter().map(text).collect()
    }

    pub fn table(&self, key: &'static str) -> Result<Option<Table<'t>>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        match item.as_table_like() {
            Some(table) => Ok(Some(Table::new(self.source, table, format!("{}{key}.", self.prefix)))),
            None => Err(self.wrong_type(key, "a table", item)),
        }
    }

    /// A text, or a table: `on_text` and `on_table` make the same of them.
    pub fn text_or_table<T>(
        &self,
        key: &'static str,
        on_text: impl FnOnce(&str) -> Result<T, ConfigError>,
        on_table: impl FnOnce(Table<'t>) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        match (item.as_str(), item.as_table_like()) {
            (Some(text), _) => on_text(text).map(Some),
            (_, Some(table)) => on_table(Table::new(self.source, table, format!("{}{key}.", self.prefix))).map(Some),
            _ => Err(self.wrong_type(key, "a text or a table", item)),
        }
    }

    /// A list of tables, written either way TOML has.
    pub fn tables(&self, key: &'static str) -> Result<Option<Vec<Table<'t>>>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        let table = |table: &'t dyn TableLike| Table::new(self.source, table, format!("{}{key}.", self.prefix));
        if let Some(tables) = item.as_array_of_tables() {
            return Ok(Some(tables.iter().map(|inner| table(inner)).collect()));
        }
        let error = || self.wrong_type(key, "a list of tables", item);
        let values = item.as_array().ok_or_else(error)?.iter();
        let inline = values.map(|value| value.as_inline_table().map(|inner| table(inner)).ok_or_else(error));
        inline.collect::<Result<_, _>>().map(Some)
    }

    /// The tables in this table, by their keys.
    pub fn named_tables(&self) -> Result<Vec<(String, Table<'t>)>, ConfigError> {
        let named = |(name, item): (&str, &'t Item)| match item.as_table_like() {
            Some(table) => Ok((name.to_owned(), Table::new(self.source, table, format!("{}{name}.", self.prefix)))),
            None => Err(self.wrong_type(name, "a table", item)),
        };
        self.table.iter().map(named).collect()
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::InlineTable(_) => "a table",
    }
}
