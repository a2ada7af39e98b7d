//! A configuration that cannot be meant refuses to start, with exit code 2 and a message that names the place, the key and the fix.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/exai.rs"]
mod exai;

use exai::Home;

#[test]
fn bad_files_refuse_to_start() {
    let table = [
        (
            "[limits]\nglobl = 3\n",
            "error: exai.toml line 2: `limits.globl`: unknown key; fix: remove it, or use `global`",
        ),
        (
            "[limits]\nglobal = 0\n",
            "error: exai.toml line 2: `limits.global`: 0 is out of range; fix: give a number from 1",
        ),
        ("[listen]\nmcp = \"8079\"\n", "error: exai.toml line 2: `listen.mcp`: not an address with a port"),
        ("[log\n", "error: exai.toml line 1 column"),
        (
            "[providers.mine]\napi_key = \"k\"\n",
            "error: exai.toml line 1: `providers.mine.base_url`: missing",
        ),
        ("[cache]\nredis_url = \"redis://x\"\n", "error: exai.toml line 1: `cache`: unknown key"),
    ];
    for (text, words) in table {
        let home = Home::new();
        home.write_config(text);
        for command in [
            &["serve"][..],
            &["demo", "--once"],
            &["token"],
            &["health"],
            &["migrate"],
            &["ask", "x"],
            &["status"],
        ] {
            let ran = home.run(command);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{text} {command:?} {ran:?}");
            assert!(ran.stderr.starts_with(words), "{text} {command:?} {ran:?}");
        }
    }
}

#[test]
fn bad_variables_refuse_to_start() {
    let table = [
        (
            "EXAI_LIMITS__GLOBL",
            "3",
            "error: environment variable EXAI_LIMITS__GLOBL: `limits.globl`: unknown key",
        ),
        (
            "EXAI_LIMITS__DEADLINE_S",
            "1h",
            "error: environment variable EXAI_LIMITS__DEADLINE_S: `limits.deadline_s`: a value of the wrong kind",
        ),
        (
            "EXAI_LIMITS_GLOBAL",
            "3",
            "error: environment variable EXAI_LIMITS_GLOBAL: `limits`: two underscores",
        ),
        ("DATABASE_URL", "mysql://u:hunter2@db/x", "error: environment variable DATABASE_URL: `storage.url`"),
        (
            "EXAI_TOKEN",
            "hunter2 hunter2",
            "error: environment variable EXAI_TOKEN: `EXAI_TOKEN`: the token must be 1 to 512 visible ASCII",
        ),
        ("EXAI_CONFIG", "/nowhere/exai.toml", "error: /nowhere/exai.toml: cannot be read"),
        (
            "MOONSHOT_API_KEY",
            "hunter2 hunter2",
            "error: environment variable MOONSHOT_API_KEY: `providers.kimi.api_key`",
        ),
    ];
    for (name, value, words) in table {
        let mut home = Home::new();
        home.set(name, value);
        home.set("EXAI_LISTEN__MCP", "127.0.0.1:0");
        home.set("EXAI_LISTEN__DASHBOARD", "127.0.0.1:0");
        let ran = home.run(&["serve"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{name} {ran:?}");
        assert!(ran.stderr.starts_with(words) && !ran.stderr.contains("hunter2"), "{name} {ran:?}");
    }
}

#[test]
fn without_a_home_the_message_says_what_to_set() {
    let mut command = Home::new().command(&["serve"]);
    command.env_remove("HOME").current_dir("/");
    let ran = exai::Ran::of(command);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("set storage.url (EXAI_STORAGE__URL), or set HOME"), "{ran:?}");
}

#[test]
fn without_a_home_a_token_must_be_set() {
    let mut home = Home::new();
    home.set("EXAI_STORAGE__URL", "sqlite:///nowhere/exai.db");
    for arguments in [&["serve"][..], &["ask", "x"], &["token"]] {
        let mut command = home.command(arguments);
        command.env_remove("HOME").current_dir("/");
        let ran = exai::Ran::of(command);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("fix: set EXAI_TOKEN, or HOME"), "{ran:?}");
    }
}

#[test]
fn an_unserved_default_model_is_named_with_its_line_and_what_there_is() {
    let mut home = Home::new();
    home.write_config("[models]\ndefault = \"nope\"\n");
    home.set("EXAI_LISTEN__MCP", "127.0.0.1:0");
    home.set("EXAI_LISTEN__DASHBOARD", "127.0.0.1:0");
    home.set("MOONSHOT_API_KEY", "k");
    let ran = home.run(&["serve"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let words = "error: exai.toml line 2: `models.default`: no configured provider serves `nope`; fix: name one of kimi-";
    assert!(ran.stderr.contains(words), "{ran:?}");
    home.set("MOONSHOT_API_KEY", "");
    home.set("EXAI_MODELS__DEFAULT", "kimi-k3");
    let ran = home.run(&["serve"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let words = "error: environment variable EXAI_MODELS__DEFAULT: `models.default`: no configured provider serves `kimi-k3`; \
                 fix: give a provider its key (MOONSHOT_API_KEY, ZAI_API_KEY)";
    assert!(ran.stderr.contains(words), "{ran:?}");
}

#[test]
fn a_folder_in_the_files_place_is_not_passed_over() {
    let home = Home::new();
    let command = home.command(&["token"]);
    std::fs::create_dir(command.get_current_dir().unwrap().join("exai.toml")).unwrap();
    let ran = exai::Ran::of(command);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.stderr.starts_with("error: exai.toml: cannot be read"), "{ran:?}");
}
