//! The rules of the house that can be tests: who may ask whom, what lies where, how long things are.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, at most.
const FILE_LINES_MAX: usize = 300;
/// Lines of a function, at most.
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files_under(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<PathBuf> {
    ["src", "actors", "tests"].iter().flat_map(|folder| files_under(folder, ".rs")).collect()
}

/// The actors, in the order of `actors/src/lib.rs`.
fn order() -> Vec<String> {
    let picture = read("actors/src/lib.rs");
    let numbered = picture.lines().filter_map(|line| {
        let mut words = line.strip_prefix("//! ")?.split_whitespace();
        words.next()?.parse::<usize>().ok()?;
        words.next().map(str::to_owned)
    });
    numbered.collect()
}

/// The product's code of a file: without its comments and its tests.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("readable");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn asks_go_down_the_order() {
    let order = order();
    assert!(order.len() >= 6, "the picture in actors/src/lib.rs names the actors: {order:?}");
    for (level, actor) in order.iter().enumerate() {
        let mut files = files_under(&format!("actors/src/{actor}"), ".rs");
        files.push(root().join(format!("actors/src/{actor}.rs")));
        for file in files {
            let code = code_of(&file);
            for above in &order[..level] {
                assert!(
                    !code.contains(&format!("crate::{above}::")),
                    "{}: {actor} knows {above}, which stands above it",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn every_actor_folder_is_alike() {
    for actor in order() {
        for file in ["messages.rs", "actor.rs"] {
            let path = root().join("actors/src").join(&actor).join(file);
            assert!(path.is_file(), "{} is missing", path.display());
        }
        let folder = root().join("actors/src").join(&actor);
        let files = fs::read_dir(&folder).expect("the actor's folder").count();
        assert!(files >= 3, "{actor} has no pure core beside its messages and its actor");
    }
}

#[test]
fn libraries_stay_where_they_belong() {
    let homes: [(&str, &[&str]); 3] = [
        ("rmcp::", &["src/mcp/"]),
        ("actix_web_actors", &["actors/src/session/"]),
        (
            "awc::",
            &[
                "actors/src/provider/",
                "src/alerts/webhook.rs",
                "src/mcp/client",
                "src/cli/",
                "tests/",
                "actors/tests/",
            ],
        ),
    ];
    for file in rust_files() {
        let code = code_of(&file);
        let name = file.strip_prefix(root()).expect("under the root").to_string_lossy().into_owned();
        for (library, allowed) in homes {
            let at_home = name == "tests/tidy.rs" || allowed.iter().any(|home| name.starts_with(home));
            assert!(at_home || !code.contains(library), "{name} uses {library}");
        }
    }
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Vec::new();
    for file in rust_files() {
        let text = fs::read_to_string(&file).expect("readable");
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            long.push(format!("{}: {} lines", file.display(), lines.len()));
        }
        // A table of cases is as long as its cases.
        let is_test = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
        let mut open: Option<(usize, String)> = None;
        for (number, line) in lines.iter().enumerate() {
            let indent = &line[..line.len() - line.trim_start().len()];
            match &open {
                Some((start, end)) if *line == end.as_str() => {
                    let length = number - start + 1;
                    if length > FUNCTION_LINES_MAX && !is_test {
                        long.push(format!("{}:{}: a function of {length} lines", file.display(), start + 1));
                    }
                    open = None;
                }
                Some(_) => {}
                None if line.contains("fn ")
                    && !line.trim_start().starts_with("//")
                    && !line.ends_with('}') =>
                {
                    open = Some((number, format!("{indent}}}")));
                }
                None => {}
            }
        }
    }
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for file in rust_files() {
        let text = fs::read_to_string(&file).expect("readable");
        assert!(text.starts_with("//!"), "{} does not begin with //!", file.display());
    }
}

#[test]
fn panics_unwind_and_faults_are_never_a_default() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    for profile in ["dev", "release"] {
        let strategy = manifest["profile"][profile].get("panic").and_then(toml::Value::as_str);
        assert_eq!(
            strategy,
            Some("unwind"),
            "a supervised actor lives again by unwinding: profile {profile}"
        );
    }
    for (name, profile) in manifest["profile"].as_table().expect("profiles") {
        let strategy = profile.get("panic").and_then(toml::Value::as_str).unwrap_or("unwind");
        assert_eq!(strategy, "unwind", "profile {name}");
    }
    for path in ["Cargo.toml", "actors/Cargo.toml"] {
        let manifest: toml::Table = read(path).parse().expect("a manifest is TOML");
        let default = manifest["features"].get("default").map(ToString::to_string).unwrap_or_default();
        assert!(!default.contains("faults"), "{path}: `faults` plants panics");
        assert!(!default.contains("conformance"), "{path}: `conformance` answers what the product does not");
        assert!(!default.contains("metrics-off"), "{path}: `metrics-off` counts nothing");
    }
}

#[test]
fn the_map_in_the_readme_matches_the_disk() {
    let readme = read("README.md");
    let map = readme.split("<!-- map -->").nth(1).expect("the README has a map between <!-- map --> marks");
    let mut listed = Vec::new();
    for line in map.lines().filter(|line| !line.starts_with("```")) {
        let Some(path) = line.split_whitespace().next() else { continue };
        assert!(root().join(path).exists(), "the README's map names {path}, which is not there");
        listed.push(path.trim_end_matches('/').to_owned());
    }
    for entry in fs::read_dir(root()).expect("the root") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let unlisted = name.starts_with('.') || name == "target";
        assert!(unlisted || listed.contains(&name), "the README's map leaves out {name}");
    }
    for actor in order() {
        assert!(listed.contains(&format!("actors/src/{actor}")), "the README's map leaves out {actor}");
    }
}
