//! Every documented error body of each make (provider facts, tables A4, B4 and C) by the name a script calls it.

use serde_json::{Value, json};

use crate::{Make, Script, clock};

mod glm;
mod kimi;
mod openai;

pub(crate) use kimi::not_found as kimi_not_found;

/// A gateway's page, as a 502 or 504 shows it.
pub(crate) fn gateway_page(status: u16, title: &str) -> String {
    format!(
        "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1></center>\r\n\
         <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// What a refusal's body is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Json(Value),
    Html(String),
    Empty,
}

/// A status and its body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) body: Body,
}

impl Refusal {
    pub(crate) fn json(status: u16, body: Value) -> Refusal {
        Refusal { status, body: Body::Json(body) }
    }

    fn html(status: u16, title: &str) -> Refusal {
        Refusal { status, body: Body::Html(gateway_page(status, title)) }
    }

    fn empty(status: u16) -> Refusal {
        Refusal { status, body: Body::Empty }
    }

    /// Kimi's shape.
    pub(crate) fn kimi(status: u16, kind: &str, message: &str) -> Refusal {
        Refusal::json(status, json!({"error": {"message": message, "type": kind}}))
    }

    /// Z.ai's shape; the code is a string on the wire, and the specification says integer.
    pub(crate) fn glm(status: u16, code: u16, message: &str, int_code: bool) -> Refusal {
        let code = if int_code { json!(code) } else { json!(code.to_string()) };
        Refusal::json(status, json!({"error": {"code": code, "message": message}}))
    }

    /// OpenAI's shape.
    pub(crate) fn openai(status: u16, kind: &str, code: Option<&str>, message: &str) -> Refusal {
        Refusal::json(
            status,
            json!({"error": {"message": message, "type": kind, "param": null, "code": code}}),
        )
    }

    /// A refusal of that make with no name of its own.
    pub(crate) fn plain(make: Make, status: u16, message: &str) -> Refusal {
        let kind = match status {
            429 => "rate_limit_reached_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        match make {
            Make::Kimi => Refusal::kimi(status, kind, message),
            Make::Glm => Refusal::glm(status, if status >= 500 { 500 } else { 1210 }, message, false),
            Make::OpenAi => Refusal::openai(status, kind, None, message),
        }
    }
}

/// The refusal a script asks for; an unknown name is a loud 500, because a test that gets it is wrong.
pub(crate) fn by_name(make: Make, name: &str, script: &Script, model: &str) -> Refusal {
    let wait = u64::from(script.wait.unwrap_or(1));
    let shared = match name {
        "gateway_html" => Some(Refusal::html(504, "Gateway Time-out")),
        "bad_gateway_html" => Some(Refusal::html(502, "Bad Gateway")),
        "empty" => Some(Refusal::empty(503)),
        "empty_401" => Some(Refusal::empty(401)),
        _ => None,
    };
    let own = || match make {
        Make::Kimi => kimi::by_name(name, wait, model),
        Make::Glm => glm::by_name(name, &clock::prose(clock::unix_seconds() + wait), script.int_code),
        Make::OpenAi => openai::by_name(name, wait, model),
    };
    let by_status = || {
        let status = name.parse::<u16>().ok().filter(|status| (400..600).contains(status))?;
        Some(Refusal::plain(make, status, &format!("scripted status {status}")))
    };
    shared.or_else(own).or_else(by_status).unwrap_or_else(|| {
        Refusal::plain(make, 500, &format!("the upstream double knows no refusal {name:?} of {make}"))
    })
}
