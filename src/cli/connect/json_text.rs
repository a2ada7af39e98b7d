//! Edits of JSON with comments, at the places that a parser names. Pure.

use jsonc_parser::ast::{self, Object, ObjectProp};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast, parse_to_serde_value};
use serde::Serialize;
use serde_json::{Map, Value};

use super::document::{EditError, NAME, newline};

/// What editors leave at the start of a file.
const BOM: &str = "\u{feff}";

const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// What the text says; nothing at all says an empty object.
pub(super) fn value(text: &str) -> Result<Value, EditError> {
    let (_, body) = split(text);
    if body.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let parsed: Option<Value> = parse_to_serde_value(body, &OPTIONS)
        .map_err(|error| EditError::at(body, error.range().start, error.kind().to_string()))?;
    match parsed {
        Some(value @ Value::Object(_)) => Ok(value),
        Some(_) => Err(EditError::Shape("the file holds no JSON object; fix: remove the file".to_owned())),
        // Comments alone.
        None => Err(EditError::at(body, body.len(), "no JSON value")),
    }
}

/// The text with our entry.
pub(super) fn put(text: &str, section: &str, entry: &Value) -> Result<String, EditError> {
    let (bom, body) = split(text);
    let eol = newline(body);
    if body.trim().is_empty() {
        let whole = Value::Object([(section.to_owned(), object(entry))].into_iter().collect());
        return Ok(format!("{bom}{}{eol}", render(&whole, "  ", "", eol)));
    }
    let parsed = parse(body)?;
    let root = root(&parsed)?;
    let unit = unit(body, root);
    let Some(servers) = only(root, section)? else {
        return Ok(format!("{bom}{}", insert(body, root, section, &object(entry), &unit, eol)));
    };
    let ast::Value::Object(servers) = &servers.value else {
        return Err(EditError::Shape(format!("`{section}` is no object; fix: correct or remove it")));
    };
    let Some(ours) = only(servers, NAME)? else {
        return Ok(format!("{bom}{}", insert(body, servers, NAME, entry, &unit, eol)));
    };
    let range = ours.value.range();
    let value = render(entry, &unit, indent(body, ours.start()).unwrap_or_default(), eol);
    Ok(format!("{bom}{}{value}{}", &body[..range.start], &body[range.end..]))
}

/// The text without the property at `path`.
pub(super) fn take(text: &str, path: &[&str]) -> Result<String, EditError> {
    let (bom, body) = split(text);
    let parsed = parse(body)?;
    let mut holder = root(&parsed)?;
    let Some((name, above)) = path.split_last() else { return Ok(text.to_owned()) };
    for step in above {
        match only(holder, step)?.map(|property| &property.value) {
            Some(ast::Value::Object(inner)) => holder = inner,
            Some(_) | None => return Ok(text.to_owned()),
        }
    }
    let Some(ours) = only(holder, name)? else { return Ok(text.to_owned()) };
    let at = holder.properties.iter().position(|property| property.range == ours.range).unwrap_or_default();
    let mut own = body[..ours.start()].trim_end().len()..ours.end();
    let before = at.checked_sub(1).map(|before| &holder.properties[before]);
    let comma =
        next_comma(body, ours.end()).or_else(|| before.and_then(|before| next_comma(body, before.end())));
    // A line comment before ours still needs the end of its line, when nothing after ours brings one.
    let follows = &body[own.end..].trim_start_matches([',', ' ', '\t']);
    let line = &body[..own.start];
    if line[line.rfind('\n').unwrap_or(0)..].contains("//") && !follows.starts_with(['\n', '\r']) {
        own.start = ours.start();
    }
    let mut cuts = comma.map(|comma| comma..comma + 1).into_iter().collect::<Vec<_>>();
    cuts.push(own);
    cuts.sort_by_key(|cut| cut.start);
    let mut left = String::from(bom);
    let mut from = 0;
    for cut in cuts {
        left.push_str(&body[from..cut.start]);
        from = cut.end;
    }
    left.push_str(&body[from..]);
    Ok(left)
}

/// In front, right behind the brace: one piece, whatever follows.
fn insert(body: &str, into: &Object<'_>, name: &str, value: &Value, unit: &str, eol: &str) -> String {
    let (start, end) = (into.start() + 1, into.end() - 1);
    let base = line_indent(body, into.start());
    let inner = into.properties.first().and_then(|first| indent(body, first.start()).map(str::to_owned));
    let inner = inner.unwrap_or_else(|| format!("{base}{unit}"));
    let behind = match (into.properties.is_empty(), body[start..end].contains('\n')) {
        (false, _) => ",".to_owned(),
        (true, true) => String::new(),
        (true, false) => format!("{eol}{base}"),
    };
    let value = render(value, unit, &inner, eol);
    format!("{}{eol}{inner}\"{name}\": {value}{behind}{}", &body[..start], &body[start..])
}

fn object(entry: &Value) -> Value {
    Value::Object([(NAME.to_owned(), entry.clone())].into_iter().collect())
}

fn render(value: &Value, unit: &str, base: &str, eol: &str) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(unit.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value.serialize(&mut serializer).expect("a value without a map of odd keys becomes JSON");
    String::from_utf8(out).expect("JSON is UTF-8").replace('\n', &format!("{eol}{base}"))
}

fn split(text: &str) -> (&str, &str) {
    text.strip_prefix(BOM).map_or(("", text), |body| (BOM, body))
}

fn parse(body: &str) -> Result<Option<ast::Value<'_>>, EditError> {
    parse_to_ast(body, &CollectOptions::default(), &OPTIONS)
        .map(|parsed| parsed.value)
        .map_err(|error| EditError::at(body, error.range().start, error.kind().to_string()))
}

fn root<'a, 'b>(parsed: &'b Option<ast::Value<'a>>) -> Result<&'b Object<'a>, EditError> {
    match parsed {
        Some(ast::Value::Object(root)) => Ok(root),
        Some(_) | None => {
            Err(EditError::Shape("the file holds no JSON object; fix: remove the file".to_owned()))
        }
    }
}

/// The property of that name; one that is there twice means one thing to us and perhaps another to the client.
fn only<'a, 'b>(object: &'b Object<'a>, name: &str) -> Result<Option<&'b ObjectProp<'a>>, EditError> {
    let mut found = object.properties.iter().filter(|property| property.name.as_str() == name);
    match (found.next(), found.next()) {
        (property, None) => Ok(property),
        (_, Some(_)) => Err(EditError::Shape(format!("`{name}` is there twice; fix: remove one of the two"))),
    }
}

/// The white space between the start of a line and `offset`; none where something else stands there.
fn indent(body: &str, offset: usize) -> Option<&str> {
    let line = body[..offset].rfind('\n')? + 1;
    Some(&body[line..offset]).filter(|before| before.trim().is_empty())
}

/// The white space that the line of `offset` begins with.
fn line_indent(body: &str, offset: usize) -> &str {
    let line = &body[body[..offset].rfind('\n').map_or(0, |newline| newline + 1)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

fn unit(body: &str, root: &Object<'_>) -> String {
    let first = root.properties.first().and_then(|first| indent(body, first.start()));
    first.filter(|unit| !unit.is_empty()).unwrap_or("  ").to_owned()
}

/// The comma behind `from`, where only white space and comments stand before it.
fn next_comma(body: &str, from: usize) -> Option<usize> {
    let mut rest = body.get(from..)?;
    loop {
        rest = rest.trim_start();
        if rest.starts_with(',') {
            return Some(body.len() - rest.len());
        }
        rest = match rest.get(..2)? {
            "//" => rest.split_once('\n')?.1,
            "/*" => rest.get(2..)?.split_once("*/")?.1,
            _ => return None,
        };
    }
}
