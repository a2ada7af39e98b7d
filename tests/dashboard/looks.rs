//! Every panel at both widths, light and dark: it fits, it can be read, and a keyboard and a screen reader find their way.

use std::time::Duration;

use fantoccini::Locator;
use fantoccini::key::Key;

use crate::browser::Browser;

const PANELS: [&str; 9] =
    ["overview", "calls", "sessions", "conversations", "metrics", "events", "auditor", "test", "config"];
const JUDGE: &str = include_str!("looks.js");

/// Goes through all of them.
pub(crate) async fn are_good(browser: &Browser) {
    for scheme in ["light", "dark"] {
        // As the reader's own choice does: the colours follow nothing else.
        browser.run(&format!("document.documentElement.style.colorScheme = '{scheme}'")).await;
        for panel in PANELS {
            for width in [1440, 390] {
                browser.page.set_window_size(width, 900).await.unwrap();
                browser.show(panel).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
                let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
                assert_eq!(browser.run(fits).await, true, "{panel} is wider than {width}");
                browser.picture(&format!("{panel}-{width}-{scheme}")).await;
                let amiss = browser.run(JUDGE).await;
                assert_eq!(amiss, serde_json::json!([]), "{panel}, {width}, {scheme}");
            }
        }
    }
    browser.run("document.documentElement.style.colorScheme = ''").await;
    browser.page.set_window_size(1440, 900).await.unwrap();
}

/// Without a mouse: past everything to the content, and to a panel.
pub(crate) async fn go_by_keyboard(browser: &Browser) {
    browser.show("calls").await;
    browser.page.refresh().await.unwrap();
    browser.until("the page is there", "return document.getElementById('tab-calls') !== null").await;
    let press = async |key: Key| {
        let focused = browser.page.active_element().await.unwrap();
        focused.send_keys(&char::from(key).to_string()).await.unwrap();
    };
    press(Key::Tab).await;
    let at = "return document.activeElement.className === 'skip' && getComputedStyle(document.activeElement).outlineStyle !== 'none'";
    browser.until("the way past everything is first, and is seen", at).await;
    press(Key::Enter).await;
    browser.until("the content has the focus", "return document.activeElement.id === 'main'").await;
    browser.run("document.getElementById('tab-overview').focus()").await;
    press(Key::Tab).await;
    press(Key::Enter).await;
    browser.until("a panel is chosen", "return location.hash === '#calls'").await;
    browser.page.find(Locator::Css("#tab-calls[aria-current]")).await.unwrap();
}
