//! The pages: a few files that are part of the binary, or stand in a folder while somebody works on them. They hold nothing of anybody's, so
//! they are open to all who call this server by its name.

use std::path::PathBuf;
use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, web};
use sha2::{Digest, Sha256};

use crate::routes::{Door, not_found};
use crate::security::Refusal;

/// Scripts, styles, pictures and requests of this server alone; and text can only ever become text: no sink of the browser that reads HTML
/// takes any (`require-trusted-types-for`).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Every file: its name, its type, its content.
const FILES: [(&str, &str, &[u8]); 10] = [
    ("index.html", "text/html; charset=utf-8", include_bytes!("../../static/index.html")),
    ("app.css", "text/css; charset=utf-8", include_bytes!("../../static/app.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../static/icon.svg")),
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("../../static/app.js")),
    ("dom.js", "text/javascript; charset=utf-8", include_bytes!("../../static/dom.js")),
    ("feed.js", "text/javascript; charset=utf-8", include_bytes!("../../static/feed.js")),
    ("live.js", "text/javascript; charset=utf-8", include_bytes!("../../static/live.js")),
    ("history.js", "text/javascript; charset=utf-8", include_bytes!("../../static/history.js")),
    ("chart.js", "text/javascript; charset=utf-8", include_bytes!("../../static/chart.js")),
    ("trial.js", "text/javascript; charset=utf-8", include_bytes!("../../static/trial.js")),
];

/// The one page.
const PAGE: &str = "index.html";
/// In which folder the page's files are: one that is named for what is in them all, so that a browser may keep each for good.
static BUILT_IN: LazyLock<String> = LazyLock::new(|| {
    let whole = FILES.iter().fold(Sha256::new(), |whole, file| whole.chain_update(file.2));
    hex(&whole.finalize())
});
/// The same where somebody works on the files.
const UNNAMED: &str = "folder";

/// The folder that is served instead, if any.
#[derive(Clone, Default)]
pub(crate) struct Folder(pub(crate) Option<PathBuf>);

/// `GET /`: the one page.
pub(super) async fn index(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    serve(&request, &door, PAGE, false).await
}

/// `GET /static/FOLDER/NAME`. Another release's folder has the files of this one: behind a balancer the page may have come from there.
pub(super) async fn file(
    request: HttpRequest,
    door: web::Data<Door>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let (folder, name) = path.into_inner();
    serve(&request, &door, &name, door.folder.0.is_none() && folder == *BUILT_IN).await
}

async fn serve(request: &HttpRequest, door: &Door, name: &str, lasts: bool) -> Result<HttpResponse, Refusal> {
    door.gate.outside(request)?;
    // Names are looked up among ours, so no path of a request ever reaches the disk.
    let Some((name, kind, built_in)) = FILES.iter().find(|file| file.0 == name) else {
        return Ok(not_found().await);
    };
    let mut content = match &door.folder.0 {
        Some(folder) => {
            let path = folder.join(name);
            match web::block(move || std::fs::read(path)).await {
                Ok(Ok(content)) => content,
                Ok(Err(_)) | Err(_) => return Ok(not_found().await),
            }
        }
        None => built_in.to_vec(),
    };
    if *name == PAGE {
        let folder = if door.folder.0.is_none() { &*BUILT_IN } else { UNNAMED };
        let page = String::from_utf8_lossy(&content);
        content = page.replace("\"/static/", &format!("\"/static/{folder}/")).into_bytes();
    }
    let tag = format!("W/\"{}\"", hex(&Sha256::digest(&content)));
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|held| held.as_bytes() == tag.as_bytes());
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((CONTENT_TYPE, *kind))
        // What has no name of its own is asked about before it is used: a new version shows at once.
        .insert_header((CACHE_CONTROL, if lasts { "max-age=31536000, immutable" } else { "no-cache" }))
        .insert_header((ETAG, tag))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY));
    Ok(if known { response.finish() } else { response.body(content) })
}

/// The first bytes of a digest, for a name.
fn hex(digest: &[u8]) -> String {
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
