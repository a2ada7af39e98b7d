//! Edits of TOML: our table is a block of lines of its own. Pure.

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::document::{EditError, NAME, newline};

/// What the text says.
pub(super) fn value(text: &str) -> Result<Value, EditError> {
    let table = body(text).parse::<toml::Table>().map_err(|error| unreadable(text, &error))?;
    serde_json::to_value(table)
        .map_err(|_| EditError::Shape("the file holds what JSON cannot say".to_owned()))
}

/// The text with our table at its end.
pub(super) fn put(text: &str, section: &str, entry: &Value) -> Result<String, EditError> {
    let rest = take(text, section)?;
    let eol = newline(text);
    let mut block = vec![format!("[{section}.{NAME}]")];
    for (key, value) in entry.as_object().into_iter().flatten() {
        let value = toml::Value::try_from(value).map_err(|error| EditError::Shape(error.to_string()))?;
        block.push(format!("{key} = {value}"));
    }
    let gap = match body(&rest) {
        "" => "",
        rest if rest.ends_with('\n') => eol,
        _ => &eol.repeat(2),
    };
    Ok(format!("{rest}{gap}{}{eol}", block.join(eol)))
}

/// The text without our table.
pub(super) fn take(text: &str, section: &str) -> Result<String, EditError> {
    let skipped = text.len() - body(text).len();
    let table = DeTable::parse(body(text)).map_err(|error| unreadable(text, &error))?;
    let servers = table.get_ref().get(section).and_then(|servers| servers.get_ref().as_table());
    let ours = servers.and_then(|servers| servers.iter().find(|(name, _)| name.get_ref() == NAME));
    let Some((name, value)) = ours else { return Ok(text.to_owned()) };
    let (first, last) = (skipped + name.span().start, skipped + last_byte(value.get_ref(), value.span().end));
    let mut start = text[..first].rfind('\n').map_or(skipped, |newline| newline + 1);
    let end = text[last..].find('\n').map_or(text.len(), |newline| last + newline + 1);
    // The empty line that set our table off.
    for gap in ["\r\n", "\n"] {
        let before = &text[..start];
        if let Some(before) = before.strip_suffix(gap).filter(|before| before.ends_with('\n')) {
            start = before.len();
            break;
        }
    }
    Ok(format!("{}{}", &text[..start], &text[end..]))
}

fn last_byte(value: &DeValue<'_>, end: usize) -> usize {
    let DeValue::Table(table) = value else { return end };
    table.iter().map(|(_, value)| last_byte(value.get_ref(), value.span().end)).fold(end, usize::max)
}

fn body(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn unreadable(text: &str, error: &toml::de::Error) -> EditError {
    let problem = error.message().lines().collect::<Vec<_>>().join(", ");
    EditError::at(body(text), error.span().map_or(0, |span| span.start), problem)
}
