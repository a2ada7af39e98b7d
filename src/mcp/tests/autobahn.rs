//! The conformance suite of RFC 6455 against `/echo`. Left out unless `EXAI_WSTEST` names a program that runs Autobahn's `wstest`
//! with the arguments it is given.

use std::process::Stdio;

use super::*;

/// Limits, performance and compression are not part of what the product promises.
const CASES: [&str; 8] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];

#[actix_web::test]
#[ignore = "needs Autobahn's wstest, named by EXAI_WSTEST"]
async fn the_echo_passes_autobahn() {
    let wstest = std::env::var("EXAI_WSTEST").unwrap();
    let server = Setup { alone: true, ..Setup::default() }.start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("spec.json");
    let url = format!("ws://{}/echo", server.address);
    let wanted = json!({ "outdir": folder.path(), "servers": [{ "agent": "exai", "url": url }],
        "cases": CASES, "exclude-cases": [], "exclude-agent-cases": {} });
    std::fs::write(&spec, wanted.to_string()).unwrap();
    let mut words = wstest.split_whitespace();
    let mut command = tokio::process::Command::new(words.next().unwrap());
    command.args(words).args(["-m", "fuzzingclient", "-s"]).arg(&spec).stdout(Stdio::null());
    assert!(command.status().await.unwrap().success());
    let index = std::fs::read_to_string(folder.path().join("index.json")).unwrap();
    let index = serde_json::from_str::<Value>(&index).unwrap();
    let verdicts = index["exai"].as_object().unwrap();
    let good = ["OK", "NON-STRICT", "INFORMATIONAL"].map(|verdict| json!(verdict));
    let bad = verdicts.iter().filter(|(_, verdict)| {
        !good.contains(&verdict["behavior"]) || !good.contains(&verdict["behaviorClose"])
    });
    assert_eq!(bad.collect::<Vec<_>>(), vec![], "of {}", verdicts.len());
    // The others are answered after the socket has closed on the broken frame behind them, or judged at a frame's end.
    let strict = verdicts.values().filter(|verdict| verdict["behavior"] == "OK").count();
    assert!(verdicts.len() >= 247 && strict >= 233, "{strict} of {} are strictly right", verdicts.len());
}
