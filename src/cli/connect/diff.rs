//! What a change looks like: the lines that go and come, with tokens masked. No other line of the file is shown, as it may hold
//! somebody else's secret. Pure.

/// The lines that differ, marked `-` and `+`, after the number of the first one.
pub(crate) fn lines(before: &str, after: &str, token: &str) -> Vec<String> {
    let (old, new) = (before.lines().collect::<Vec<_>>(), after.lines().collect::<Vec<_>>());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[same..], &new[same..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (gone, come) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let gone = gone.iter().map(|line| format!("- {}", masked(line, token)));
    let come = come.iter().map(|line| format!("+ {}", masked(line, token)));
    std::iter::once(format!("@@ line {} @@", same + 1)).chain(gone).chain(come).collect()
}

/// The line without the token, nor any other that a bearer presents.
fn masked(line: &str, token: &str) -> String {
    const SCHEME: &str = "Bearer ";
    let line = if token.is_empty() { line.to_owned() } else { line.replace(token, "***") };
    let Some((before, secret)) = line.split_once(SCHEME) else { return line };
    let after = secret.find('"').map_or("", |end| &secret[end..]);
    format!("{before}{SCHEME}***{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_shown_and_no_token() {
        let shown = lines("a\nb\nc\n", "a\nx Bearer old\"\ntoken\nc\n", "token");
        assert_eq!(shown, ["@@ line 2 @@", "- b", "+ x Bearer ***\"", "+ ***"]);
    }
}
