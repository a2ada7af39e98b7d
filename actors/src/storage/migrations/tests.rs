//! The migrations and diesel's schema say the same, and a database that is not ours is refused.

use std::collections::BTreeSet;

use super::*;

#[test]
fn both_databases_have_the_same_migrations() {
    let tables = |migrations: &[Migration]| {
        migrations.iter().map(|migration| (migration.name, migration.sql)).collect::<Vec<_>>()
    };
    assert_eq!(
        tables(SQLITE),
        tables(POSTGRES),
        "differ only with a reason, and then compare the columns here"
    );
}

/// A column as diesel's schema would declare it; none of a line that declares no column.
fn declaration(table: &str, column: &str, kind: &str, line: &str) -> Option<String> {
    let diesel = match kind.trim_end_matches(',') {
        "TEXT" => "Text",
        "INTEGER" => "Integer",
        "BIGINT" => "BigInt",
        "DOUBLE" => "Double",
        _ => return None,
    };
    let required = line.contains("NOT NULL");
    let kind = if required { diesel.to_owned() } else { format!("Nullable<{diesel}>") };
    Some(format!("{table}.{column} {kind}"))
}

/// `table.column type`, each on a line of its own, from the migrations and from diesel's schema alike.
#[test]
fn the_schema_says_what_the_migrations_say() {
    let mut migrated = BTreeSet::new();
    let mut table = "";
    for line in SQLITE.iter().flat_map(|migration| migration.sql.lines()) {
        let words = line.trim_end_matches(';').split_whitespace().collect::<Vec<_>>();
        match words.as_slice() {
            ["DROP", "TABLE", dropped] => {
                migrated.retain(|column: &String| !column.starts_with(&format!("{dropped}.")));
            }
            ["ALTER", "TABLE", from, "RENAME", "TO", to] => {
                let renamed = |column: String| match column.strip_prefix(&format!("{from}.")) {
                    Some(rest) => format!("{to}.{rest}"),
                    None => column,
                };
                migrated = migrated.into_iter().map(renamed).collect();
            }
            ["ALTER", "TABLE", altered, "ADD", "COLUMN", column, kind, ..] => {
                migrated.extend(declaration(altered, column, kind, line));
            }
            _ => {}
        }
        let mut words = words.into_iter();
        match (words.next(), words.next(), words.next()) {
            (Some("CREATE"), Some("TABLE"), Some(name)) => table = name,
            (Some(column), Some(kind), _) if line.starts_with("    ") => {
                migrated.extend(declaration(table, column, kind, line));
            }
            _ => {}
        }
    }
    let mut declared = BTreeSet::new();
    for line in include_str!("../schema.rs").lines() {
        match line.trim_end_matches(',').split_once(" -> ") {
            Some((column, kind)) if line.starts_with("        ") => {
                declared.insert(format!("{table}.{} {kind}", column.trim()));
            }
            _ => {
                if let Some((name, _)) = line.trim().split_once(" (") {
                    table = name;
                }
            }
        }
    }
    assert!(migrated.len() > 100);
    assert_eq!(migrated, declared);
}

#[test]
fn an_unknown_or_changed_migration_stops_everything() {
    let good = || ("0001_initial".to_owned(), checksum(SQLITE[0].sql));
    assert_eq!(pending(SQLITE, &[]).unwrap().len(), SQLITE.len());
    assert_eq!(pending(SQLITE, &[good()]).unwrap().len(), SQLITE.len() - 1);
    let newer = [good(), ("9999_future".to_owned(), String::new())];
    assert!(matches!(pending(SQLITE, &newer), Err(MigrateError::Newer { name }) if name == "9999_future"));
    let changed = [("0001_initial".to_owned(), "0".repeat(64))];
    assert!(
        matches!(pending(SQLITE, &changed), Err(MigrateError::Checksum { name }) if name == "0001_initial")
    );
}
