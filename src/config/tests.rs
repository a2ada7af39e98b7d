//! What is read from where, and what is refused with which words.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use exai_actors::storage::Url;

use super::sources::Source;
use super::*;

const HOME: (&str, &str) = ("HOME", "/home/somebody");

/// Loads a file's text under some variables, and gives the error's text with the file's folder taken out.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exai.toml");
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let mut inputs = Inputs::of(&[&[HOME], variables].concat());
    inputs.file = Some(path);
    Config::load(&inputs)
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn refusal(text: &str, variables: &[(&str, &str)]) -> String {
    load(text, variables).map(|config| format!("{config:?}")).unwrap_err()
}

#[test]
fn nothing_said_means_the_defaults() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.listen.mcp, "127.0.0.1:8079".parse().unwrap());
    assert_eq!(config.listen.dashboard, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.limits.global, 64);
    assert_eq!(config.limits.deadline, Duration::from_secs(900));
    assert!(config.providers.is_empty());
    let reasons = config.left_out.iter().map(|provider| provider.reason.as_str()).collect::<Vec<_>>();
    assert_eq!(reasons, ["no key: set MOONSHOT_API_KEY", "no key: set ZAI_API_KEY"]);
    assert_eq!(config.token_file, Some(PathBuf::from("/home/somebody/.config/exai/token")));
    assert_eq!(config.sources().iter().count(), 0);
}

#[test]
fn a_key_makes_a_provider() {
    let config = load("", &[("KIMI_API_KEY", "k"), ("ZAI_API_KEY", "z")]).unwrap();
    let [kimi, glm] = config.providers.as_slice() else { panic!("{config:?}") };
    assert_eq!((kimi.name.as_str(), kimi.base_url.as_str()), ("kimi", "https://api.moonshot.ai/v1"));
    assert_eq!((kimi.max_in_flight, kimi.idle_timeout), (8, Duration::from_secs(300)));
    assert_eq!((glm.name.as_str(), glm.base_url.as_str()), ("glm", "https://api.z.ai/api/paas/v4"));
    assert_eq!(glm.first_byte_timeout, Duration::from_secs(600));
    assert_eq!(kimi.api_key.as_ref().map(Secret::reveal), Some("k"));
}

#[test]
fn variables_win_over_the_file_and_are_remembered() {
    let file = "[limits]\nglobal = 3\nburst = 9\n[providers.kimi]\napi_key = \"of-the-file\"\n";
    let variables = [
        ("EXAI_LIMITS__GLOBAL", "5"),
        ("EXAI_LISTEN__ALLOWED_HOSTS", "a.example, b.example:8079"),
        ("EXAI_LISTEN__ALLOWED_ORIGINS", "[\"https://c.example\"]"),
        ("EXAI_PROVIDERS__VLLM__MODELS", "one"),
        ("EXAI_LOG__FORMAT", "json"),
        ("EXAI_STORAGE__POOL_SIZE", ""),
        ("MOONSHOT_API_KEY", "12345"),
        ("DATABASE_URL", "postgres://db/exai"),
        ("EXAI_SERVICE_HOST", "10.0.0.1"),
        ("EXAI_CLIENTS__CURSOR", "300"),
    ];
    let config = load(file, &variables).unwrap();
    assert_eq!(config.clients.limits["cursor"].as_secs(), 300);
    assert_eq!((config.limits.global, config.limits.burst), (5, 9));
    assert_eq!(config.listen.allowed_hosts, ["a.example", "b.example:8079"]);
    assert_eq!(config.listen.allowed_origins, ["https://c.example"]);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.storage.url.kind(), "postgres");
    let [kimi, vllm] = config.providers.as_slice() else { panic!("{config:?}") };
    assert_eq!(kimi.api_key.as_ref().map(Secret::reveal), Some("12345"));
    assert_eq!((vllm.models.as_slice(), &vllm.api_key), (["one".to_owned()].as_slice(), &None));
    assert_eq!(config.sources().of("limits.global"), Source::Variable("EXAI_LIMITS__GLOBAL".to_owned()));
    assert!(matches!(config.sources().of("limits.burst"), Source::File { line: 3, .. }));
    assert_eq!(config.sources().of("limits.drain_s"), Source::Default);
}

#[test]
fn exais_own_name_for_the_database_wins() {
    let variables =
        [("DATABASE_URL", "postgres://other/app"), ("EXAI_STORAGE__URL", "sqlite:///tmp/exai.db")];
    assert_eq!(load("", &variables).unwrap().storage.url, Url::sqlite("/tmp/exai.db"));
}

#[test]
fn bad_files_are_refused_by_line_key_and_fix() {
    let table = [
        (
            "[limits]\nglobl = 3\n",
            "exai.toml line 2: `limits.globl`: unknown key; fix: remove it, or use `global`, `per_session`",
        ),
        ("[limts]\n", "exai.toml line 1: `limts`: unknown key; fix: remove it, or use `listen`, `storage`"),
        ("[listen]\ntls_cert = \"x\"\n", "line 2: `listen.tls_cert`: TLS needs a certificate and its key"),
        (
            "\n[limits]\nglobal = \"many\"\n",
            "line 3: `limits.global`: a value of the wrong kind; fix: give a whole number",
        ),
        (
            "[limits]\nglobal = -1\n",
            "line 2: `limits.global`: a value of the wrong kind; fix: give a whole number",
        ),
        (
            "[limits]\nglobal = 0\n",
            "line 2: `limits.global`: 0 is out of range; fix: give a number from 1 to 10000",
        ),
        (
            "limits = { deadline_s = 3601 }\n",
            "line 1: `limits.deadline_s`: 3601 is out of range; fix: give a number from 1 to 3600",
        ),
        (
            "[clients]\ncursor = 3601\n",
            "line 2: `clients.cursor`: 3601 is out of range; fix: give a number from 0 to 3600",
        ),
        ("[clients]\ncursor = \"long\"\n", "line 2: `clients.cursor`: a value of the wrong kind"),
        (
            "[alerts]\nwebhook_url = \"http://hooks.example/T0/secret\"\n",
            "line 2: `alerts.webhook_url`: neither an https address nor one on loopback; fix: use https (http is for loopback alone)",
        ),
        ("[clients]\n\"\" = 60\n", "line 2: `clients.`: a client without a name"),
        ("[listen]\nmcp = 8079\n", "line 2: `listen.mcp`: a value of the wrong kind"),
        ("[listen]\nmcp = \"localhost:8079\"\n", "line 2: `listen.mcp`: not an address with a port"),
        ("[listen]\nmcp = \"127.0.0.1:8080\"\n", "`listen.mcp`: both doors would be the same port"),
        ("[listen]\nallowed_hosts = [\"*\"]\n", "`listen.allowed_hosts`: `*` is not a host"),
        (
            "[listen]\nallowed_origins = [\"app.example\"]\n",
            "`listen.allowed_origins`: `app.example` is not a web origin",
        ),
        ("[listen]\ntrusted_proxies = [\"proxy\"]\n", "line 2: `listen.trusted_proxies`"),
        ("[log]\nformat = \"xml\"\n", "line 2: `log.format`: unknown value; fix: use `text` or `json`"),
        (
            "[storage]\ndurability = \"none\"\n",
            "line 2: `storage.durability`: unknown value; fix: use `power` or `process`",
        ),
        (
            "[storage]\nurl = \"mysql://db\"\n",
            "line 2: `storage.url`: the storage url must start with sqlite://",
        ),
        ("[limits\nglobal = 3\n", "exai.toml line 1 column"),
        (
            "[providers.mine]\nmodels = [\"m\"]\n",
            "line 1: `providers.mine.base_url`: missing, and no preset has this name",
        ),
        ("[providers.openai]\napi_key = \"k\"\n", "line 1: `providers.openai.models`: missing"),
        ("[providers.Kimi]\n", "line 1: `providers.Kimi`: not a name for a provider"),
        (
            "[providers.kimi]\nbase_url = \"http://api.moonshot.ai/v1\"\n",
            "line 2: `providers.kimi.base_url`: http would send the key",
        ),
        (
            "[providers.kimi]\nbase_url = \"https://u:p@api.moonshot.ai\"\n",
            "line 2: `providers.kimi.base_url`: holds a user name",
        ),
        ("[providers.kimi]\nbase_url = \"ftp://api.moonshot.ai\"\n", "neither https nor http"),
        (
            "[providers.kimi]\nmax_in_flight = 0\n",
            "line 2: `providers.kimi.max_in_flight`: 0 is out of range",
        ),
        (
            "[providers.kimi]\ndialect = \"openapi\"\n",
            "`providers.kimi.dialect`: unknown value; fix: use `kimi`, `glm`",
        ),
    ];
    for (file, words) in table {
        let error = refusal(file, &[]);
        assert!(error.contains(words), "{file}\n  {error}\n  {words}");
    }
}

#[test]
fn bad_variables_are_refused_by_name_key_and_fix() {
    let table = [
        (("EXAI_LIMITS__GLOBL", "3"), "environment variable EXAI_LIMITS__GLOBL: `limits.globl`: unknown key"),
        (("EXAI_LIMTS__GLOBAL", "3"), "environment variable EXAI_LIMTS__GLOBAL: `limts.global`: unknown key"),
        (
            ("EXAI_LIMITS__GLOBAL", "many"),
            "`limits.global`: a value of the wrong kind; fix: give a whole number",
        ),
        (("EXAI_LIMITS__GLOBAL", "0"), "EXAI_LIMITS__GLOBAL: `limits.global`: 0 is out of range"),
        (("EXAI_LIMITS__GLOBAL__X", "0"), "EXAI_LIMITS__GLOBAL__X"),
        (("EXAI_LIMITS_GLOBAL", "3"), "fix: write EXAI_LIMITS__GLOBAL"),
        (("EXAI_LOG", "debug"), "such as EXAI_LOG__KEY"),
        (
            ("DATABASE_URL", "mysql://db/app"),
            "environment variable DATABASE_URL: `storage.url`: the storage url must start with sqlite://",
        ),
        (
            ("MOONSHOT_API_KEY", "two words"),
            "MOONSHOT_API_KEY: `providers.kimi.api_key`: the key is empty or has characters",
        ),
    ];
    for (variable, words) in table {
        let error = refusal("[limits]\nglobal = 3\n", &[variable]);
        assert!(error.contains(words), "{variable:?}\n  {error}\n  {words}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let secret = "sk-very-secret";
    let inner = format!("[providers.kimi]\napi_key = \"{secret}\"\n");
    assert!(!format!("{:?}", load(&inner, &[]).unwrap()).contains(secret));
    let broken = [
        format!("[providers.kimi]\napi_key = \"{secret}\n"),
        format!("[providers.kimi]\napi_key = {secret}\n"),
        format!("[providers.kimi]\nmax_in_flight = \"{secret}\"\n"),
        format!("[providers.kimi]\napi_key = [\"{secret}\"]\n"),
        format!("[providers]\nkimi = \"{secret}\"\n"),
        format!("providers = \"{secret}\"\n"),
    ];
    for file in broken {
        let error = refusal(&file, &[]);
        assert!(!error.contains(secret), "{error}");
    }
    for name in
        ["EXAI_PROVIDERS__KIMI", "EXAI_PROVIDERS__KIMI__MODELS__X", "EXAI_PROVIDERS__KIMI__IDLE_TIMEOUT_S"]
    {
        let error = refusal("", &[(name, secret)]);
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn a_named_variable_is_the_only_one_asked() {
    let file = "[providers.kimi]\napi_key_env = \"WORK_KEY\"\n";
    let config = load(file, &[("MOONSHOT_API_KEY", "private")]).unwrap();
    assert!(config.providers.is_empty());
    assert_eq!(config.left_out[0].reason, "no key: the environment variable WORK_KEY is not set");
    let config = load(file, &[("MOONSHOT_API_KEY", "private"), ("WORK_KEY", "work")]).unwrap();
    assert_eq!(config.providers[0].api_key.as_ref().map(Secret::reveal), Some("work"));
}

#[test]
fn a_named_file_must_be_there() {
    let mut inputs = Inputs::of(&[HOME]);
    inputs.file = Some(PathBuf::from("/nowhere/exai.toml"));
    let error = Config::load(&inputs).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/exai.toml: cannot be read"), "{error}");
    let inputs = Inputs::of(&[HOME, ("EXAI_CONFIG", "/elsewhere/exai.toml")]);
    let error = Config::load(&inputs).unwrap_err().to_string();
    assert!(error.starts_with("/elsewhere/exai.toml: cannot be read"), "{error}");
}

#[test]
fn a_relative_path_starts_where_the_file_is_that_states_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exai.toml");
    let text = "[listen]\ntls_cert = \"tls/a.crt\"\ntls_key = \"tls/a.key\"\n[dashboard]\nfolder = \"pages\"\n\
                [storage]\nurl = \"sqlite://data/exai.db\"\n";
    std::fs::write(&file, text).unwrap();
    let load = |file: &std::path::Path, variables: &[(&str, &str)]| {
        let mut inputs = Inputs::of(&[&[HOME], variables].concat());
        inputs.file = Some(file.to_owned());
        Config::load(&inputs).unwrap()
    };
    let here = |path: &str| Some(folder.path().join(path));
    let config = load(&file, &[]);
    assert_eq!((config.listen.tls_cert, config.listen.tls_key), (here("tls/a.crt"), here("tls/a.key")));
    assert_eq!(config.dashboard.folder, here("pages"));
    assert_eq!(config.storage.url, Url::sqlite(folder.path().join("data/exai.db")));
    assert_eq!(config.storage.state_folder, here("data/exai.db.replicas"));
    let variables = [("EXAI_LISTEN__TLS_CERT", "b.crt"), ("DATABASE_URL", "sqlite://b.db")];
    let config = load(&file, &variables);
    assert_eq!(config.listen.tls_cert, Some("b.crt".into()));
    assert_eq!(config.listen.tls_key, here("tls/a.key"));
    assert_eq!(config.storage.url, Url::sqlite("b.db"));
    std::fs::write(&file, "[storage]\nurl = \"postgres://db/exai?sslmode=verify-full&sslrootcert=ca.pem\"\n")
        .unwrap();
    let shown = load(&file, &[]).storage.url.to_string();
    assert!(shown.ends_with(&format!("sslrootcert={}/ca.pem", folder.path().display())), "{shown}");
}
