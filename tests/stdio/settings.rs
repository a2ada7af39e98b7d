//! Which settings a bridge and its daemon have, wherever a client launches it.

use serde_json::json;

use crate::bridge::{Bridge, Place};

#[test]
fn a_relative_path_of_the_settings_means_one_file_from_every_folder() {
    let place = Place::new();
    let home = place.home.folder();
    std::fs::write(home.join("exai.toml"), "[storage]\nurl = \"sqlite://data/exai.db\"\n").unwrap();
    for folder in ["one", "other"] {
        let folder = home.join(folder);
        std::fs::create_dir(&folder).unwrap();
        let mut command = place.home.command(&["--config", "../exai.toml", "stdio"]);
        command.current_dir(&folder);
        let mut bridge = Bridge::of(command).modern();
        assert!(bridge.request(1, "tools/list", json!({}))["result"].is_object());
        assert!(home.join("data/exai.db").exists());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is made where it was launched");
    }
    let ran = place.home.run(&["doctor"]);
    let told =
        format!("ok   database: sqlite://{}/data/exai.db answers", home.canonicalize().unwrap().display());
    assert!(ran.stdout.contains(&told), "{told}: {ran:?}");
}
