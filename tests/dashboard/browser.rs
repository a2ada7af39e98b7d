//! A real headless Chromium, driven through WebDriver: a fresh profile, its console kept in a file, everything ended with it.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use exai_actors::clock;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{SOON, Server, TOKEN};

/// How a browser is started: nothing of the machine's, and nothing that phones anybody.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // A page may go from panel to panel faster than any person does.
    "--disable-ipc-flooding-protection",
    "--enable-logging",
];

/// A browser that shows the dashboard.
pub(crate) struct Browser {
    pub(crate) page: Client,
    driver: Child,
    profile: TempDir,
}

impl Browser {
    /// Starts one and opens the page.
    pub(crate) async fn open(server: &Server) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut driver = Command::new("chromedriver");
        driver.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = driver.spawn().unwrap();
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        arguments.push(format!("--log-file={}", profile.path().join("console").display()));
        let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
        let by = clock::now() + SOON;
        let page = loop {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.as_object().unwrap().clone());
            match builder.connect(&format!("http://127.0.0.1:{port}")).await {
                Ok(page) => break page,
                Err(error) => assert!(clock::now() < by, "no browser: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let browser = Self { page, driver, profile };
        browser.page.set_window_size(1440, 900).await.unwrap();
        browser.page.goto(&format!("http://{}/", server.dashboard)).await.unwrap();
        browser
    }

    /// Types the token.
    pub(crate) async fn log_in(&self) {
        self.log_in_with(TOKEN).await;
    }

    /// Types that token.
    pub(crate) async fn log_in_with(&self, token: &str) {
        let field = self.page.wait().at_most(SOON).for_element(Locator::Css("#token")).await.unwrap();
        self.until("the form is shown", "return !document.getElementById('login').hidden").await;
        field.send_keys(token).await.unwrap();
        self.click("#login-form button").await;
        self.until("the feed is linked", "return document.getElementById('link')?.textContent === 'live'")
            .await;
    }

    /// Shows a panel.
    pub(crate) async fn show(&self, panel: &str) {
        self.run(&format!("location.hash = '#{panel}'")).await;
        let shown = format!("return document.getElementById('tab-{panel}').hasAttribute('aria-current')");
        self.until(panel, &shown).await;
    }

    /// Clicks what is there, or comes soon.
    pub(crate) async fn click(&self, css: &str) {
        let found = self.page.wait().at_most(SOON).for_element(Locator::Css(css)).await.unwrap();
        found.click().await.unwrap();
    }

    /// Runs a script in the page.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.page.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until a script says true; gives how long that took.
    pub(crate) async fn until(&self, what: &str, script: &str) -> Duration {
        let began = clock::now();
        while self.run(script).await != true {
            let text = "return document.body.innerText";
            let console = || fs::read_to_string(self.profile.path().join("console")).unwrap_or_default();
            assert!(clock::now() < began + SOON, "never: {what}\n{}\n{}", self.run(text).await, console());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        clock::now() - began
    }

    /// The text of the page's main part.
    pub(crate) async fn text(&self) -> String {
        let text = self.run("return document.getElementById('main').innerText").await;
        text.as_str().unwrap().to_owned()
    }

    /// Keeps a picture where the test run wants them, if it wants any.
    pub(crate) async fn picture(&self, name: &str) {
        let picture = self.page.screenshot().await.unwrap();
        assert!(picture.len() > 5000, "an empty picture");
        if let Some(folder) = std::env::var_os("EXAI_TEST_PICTURES") {
            fs::create_dir_all(&folder).unwrap();
            fs::write(PathBuf::from(folder).join(format!("{name}.png")), picture).unwrap();
        }
    }

    /// Ends it; nothing may stand in its console: no error, no report of a broken policy.
    pub(crate) async fn close(mut self) {
        // So that an empty console is known to be one that would have said something.
        self.run("console.error('the last word')").await;
        let by = clock::now() + SOON;
        let said = loop {
            let said = fs::read_to_string(self.profile.path().join("console")).unwrap_or_default();
            if said.contains("the last word") {
                break said;
            }
            assert!(clock::now() < by, "the console is not kept:\n{said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let lines = said.lines().filter(|line| line.contains("CONSOLE")).collect::<Vec<_>>();
        assert_eq!(lines.len(), 1, "the console: {lines:#?}");
        self.page.clone().close().await.unwrap();
        self.driver.kill().unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
