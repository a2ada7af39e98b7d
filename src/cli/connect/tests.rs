//! Edits of texts as people and editors leave them: put in and taken out, byte for byte, with and without what was kept.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::document::Syntax;

fn entry() -> Value {
    json!({ "url": "http://127.0.0.1:8079/mcp", "headers": { "Authorization": "Bearer t" }, "timeout": 960_000 })
}

/// Put in and taken out with what was kept gives every byte back, and a second put changes nothing.
fn round_trip(syntax: Syntax, section: &str, text: &str) -> String {
    let put = syntax.put(text, section, &entry()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(syntax.get(&put, section).unwrap().as_ref(), Some(&entry()), "{put}");
    assert_eq!(syntax.put(&put, section, &entry()).unwrap(), put);
    let renewed = syntax.put(&put, section, &json!({ "url": "http://other" })).unwrap();
    assert_eq!(syntax.take(&renewed, section, Some(text)).unwrap(), text);
    assert_eq!(syntax.take(&put, section, Some(text)).unwrap(), text, "{put}");
    // Without what was kept no byte of anybody else is lost.
    let taken = syntax.take(&put, section, None).unwrap();
    assert_eq!(syntax.get(&taken, section).unwrap(), None);
    put
}

#[test]
fn json_as_people_write_it() {
    let texts = [
        "",
        "\n",
        "{}",
        "{ }",
        "{\n}\n",
        "\u{feff}{}\r\n",
        "\u{feff}",
        "{\"mcpServers\":{}}",
        "{\"mcpServers\":{\"a\":{\"command\":\"a\"}},\"z\":[1,2]}",
        "{\n  // servers\n  \"mcpServers\": { // mine\n    \"a\": {}, // last,\n  },\n}\n",
        "{\r\n\t\"mcpServers\": {\r\n\t\t\"a\": {}\r\n\t}\r\n}",
        "{\n     \"x\": 1.50,\n     \"mcpServers\": {\n          \"a\": {\"k\": 1e3},\n          \"b\": {}\n     }\n}",
        "/* head */ {\"mcpServers\" : /* c */ { /* d */ } } // tail",
        "{\"x\": \"\\u00e4 // no comment\", \"mcpServers\": {\"a\": [{}]}}",
    ];
    for text in texts {
        round_trip(Syntax::Json, "mcpServers", text);
    }
    let put = round_trip(Syntax::Json, "mcpServers", texts[10]);
    assert!(
        put.contains("\r\n\t\t\"exai\": {\r\n\t\t\t\"headers\"") && !put.replace("\r\n", "").contains('\n'),
        "{put}"
    );
}

#[test]
fn what_others_changed_meanwhile_stays() {
    let before = "{\n  \"theme\": 1\n}\n";
    let put = Syntax::Json.put(before, "mcpServers", &entry()).unwrap();
    let changed = put.replace("\"theme\": 1", "\"theme\": 2 // dark");
    let taken = Syntax::Json.take(&changed, "mcpServers", Some(before)).unwrap();
    assert_eq!(taken, "{\n  \"theme\": 2 // dark\n}\n");
    let theirs = "{\"mcpServers\": {\"a\": 1, // one\n \"exai\": {}}}";
    assert_eq!(
        Syntax::Json.take(theirs, "mcpServers", None).unwrap(),
        "{\"mcpServers\": {\"a\": 1 // one\n }}"
    );
    let before = "model = \"o\"\n";
    let put = Syntax::Toml.put(before, "mcp_servers", &entry()).unwrap();
    let changed = format!("# mine\n{put}\n[tui]\nx = 1\n");
    let taken = Syntax::Toml.take(&changed, "mcp_servers", Some(before)).unwrap();
    assert_eq!(taken, "# mine\nmodel = \"o\"\n\n[tui]\nx = 1\n");
}

#[test]
fn toml_as_people_write_it() {
    let texts = [
        "",
        "model = \"o\"",
        "model = \"o\"\r\n\r\n[tui]\r\nx = [ 1,\r\n 2 ]\r\n",
        "\u{feff}# only a comment\n",
        "[mcp_servers.other]\ncommand = \"x\" # why\n\n\n[z]\ny = '''\n[mcp_servers.exai]\n'''\n",
        "[mcp_servers]\n\t[mcp_servers.a]\n\turl = \"u\"\n",
    ];
    for text in texts {
        round_trip(Syntax::Toml, "mcp_servers", text);
    }
}

#[test]
fn what_cannot_be_edited_is_refused_with_its_place() {
    let table = [
        (Syntax::Json, "{\n  \"a\": }", "line 2 column 8"),
        (Syntax::Json, "{\"mcpServers\": {}", "line 1"),
        (Syntax::Json, "[]", "no JSON object"),
        (Syntax::Json, "{\"mcpServers\": 3}", "`mcpServers` is no object"),
        (Syntax::Json, "{\"mcpServers\": {}, \"mcpServers\": {}}", "is there twice"),
        (Syntax::Json, "// nothing", "no JSON value"),
        (Syntax::Toml, "a = 1\nb = = 2\n", "line 2 column"),
        (Syntax::Toml, "mcp_servers = { a = { url = \"u\" } }\n", "edited"),
        (Syntax::Toml, "mcp_servers = 3\n", "edited"),
    ];
    for (syntax, text, words) in table {
        let error = syntax.put(
            text,
            "mcpServers"
                .replace("mcpServers", if syntax == Syntax::Json { "mcpServers" } else { "mcp_servers" })
                .as_str(),
            &entry(),
        );
        let error = error.map(|done| format!("edited {done}")).unwrap_or_else(|error| error.to_string());
        assert!(error.contains(words) && !error.starts_with("edited"), "{text:?}: {error}");
    }
    let deep = "[".repeat(100_000);
    assert!(Syntax::Json.put(&format!("{{\"a\":{deep}"), "mcpServers", &entry()).is_err());
}

/// A JSON text with the given white space, comments and trailing commas between its parts.
fn json_text() -> impl Strategy<Value = String> {
    let gap = prop::sample::select(vec!["", " ", "\n  ", "\r\n\t", " /* c, } */ ", " // c, {\n"]);
    let value =
        prop::sample::select(vec!["1", "\"a\\\"{\"", "null", "[1, {}]", "{\"k\": [2]}", "{}", "1.0e9"]);
    let property = (0..4_u8, value, gap.clone(), gap.clone());
    let object = |name: &'static str| {
        let property = property.clone();
        (prop::collection::vec(property, 0..4), gap.clone(), any::<bool>()).prop_map(
            move |(properties, gap, comma)| {
                let mut seen = std::collections::BTreeSet::new();
                let kept = properties.iter().filter(|property| seen.insert(property.0)).collect::<Vec<_>>();
                let parts =
                    kept.iter().map(|(key, value, a, b)| format!("{a}\"{name}{key}\"{b}: {value}{a}"));
                let parts = parts.collect::<Vec<_>>().join(",");
                let comma = if comma && !kept.is_empty() { "," } else { "" };
                format!("{parts}{comma}{gap}")
            },
        )
    };
    (object("s"), object("r"), gap.clone(), any::<bool>()).prop_map(|(servers, rest, gap, with)| {
        if with {
            format!("{gap}{{\"mcpServers\":{gap}{{{servers}}}{gap}, {rest}}}{gap}").replace(", }", "}")
        } else {
            format!("{{{rest}}}")
        }
    })
}

proptest! {
    #[test]
    fn any_json_comes_back(text in json_text()) {
        prop_assume!(Syntax::Json.get(&text, "mcpServers").is_ok());
        round_trip(Syntax::Json, "mcpServers", &text);
    }

    #[test]
    fn any_toml_comes_back(
        lines in prop::collection::vec(prop::sample::select(vec!["# c", "", "  ", "\t# d"]), 0..6),
        tables in prop::collection::btree_set(prop::sample::select(vec!["a", "b.c", "mcp_servers.x", "mcp_servers.y"]), 0..4),
        eol in prop::sample::select(vec!["\n", "\r\n"]),
        ended in any::<bool>(),
    ) {
        let tables = tables.iter().flat_map(|name| [format!("[{name}]"), "k = [1,   2] # k".to_owned()]);
        let mut text = lines.into_iter().map(str::to_owned).chain(tables).collect::<Vec<_>>().join(eol);
        if ended { text.push_str(eol); }
        round_trip(Syntax::Toml, "mcp_servers", &text);
    }
}
