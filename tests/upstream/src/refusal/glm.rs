//! Z.ai's errors by code (table B4). HTTP 429 alone says nothing there: the code decides.

use super::Refusal;

/// Code, status, message; `{reset}` is a time.
const TABLE: &[(u16, u16, &str)] = &[
    (1000, 401, "Authentication Failed"),
    (1001, 401, "Authentication parameter not received in Header"),
    (1002, 401, "Invalid Authentication Token"),
    (1003, 401, "Authentication Token expired"),
    (1004, 401, "Authentication failed with the provided Authentication Token"),
    (1110, 403, "Your account is currently inactive. Please check your account information"),
    (1111, 403, "Your account does not exist"),
    (1112, 403, "Your account has been locked. Please contact customer service to unlock"),
    (1113, 429, "Insufficient balance or no resource package. Please recharge."),
    (1120, 403, "Unable to access your account. Please try again later"),
    (1121, 403, "Your account has been locked due to irregular activity"),
    (1210, 400, "Invalid API parameter, please check the documentation."),
    (1211, 400, "Unknown Model, please check the model code."),
    (1212, 400, "The current model does not support this call method"),
    (1213, 400, "The messages parameter was not received properly"),
    (1214, 400, "The messages parameter is illegal"),
    (1215, 400, "stream and response_format cannot be set at the same time"),
    (1220, 400, "You do not have permission to access this API"),
    (1221, 400, "The API has been taken offline"),
    (1222, 400, "The API does not exist"),
    (1230, 500, "API call failed"),
    (1231, 400, "You already have a request with this request_id"),
    (1234, 500, "Network error, please contact customer service"),
    (1261, 400, "Prompt exceeds max length"),
    (1300, 400, "The API call was blocked by policy"),
    (1301, 400, "The system detected potentially unsafe or sensitive content in your input or generation"),
    (1302, 429, "Rate limit reached for requests"),
    (1303, 429, "The frequency of your requests is too high, please slow down"),
    (1304, 429, "The daily call limit of this API has been reached"),
    (1305, 429, "The service may be temporarily overloaded, please try again later"),
    (1308, 429, "Usage limit reached for 5 hour. Your limit will reset at {reset}"),
    (1309, 429, "Your plan has expired. Please renew it"),
    (1310, 429, "Weekly/Monthly Limit Exhausted. Your limit will reset at {reset}"),
    (1311, 429, "Your current plan does not include access to this model"),
    (1312, 429, "This model is busy, please try another model"),
    (1313, 429, "Your use does not comply with the fair use policy of the plan"),
    (1314, 429, "Your plan does not allow this use"),
    (1316, 429, "The plan's limit has been reached. Your limit will reset at {reset}"),
    (1317, 429, "The plan's monthly limit has been reached. Your limit will reset at {reset}"),
    (1318, 429, "The organization's limit has been reached"),
    (1319, 429, "The project's limit has been reached"),
    (1320, 429, "The member's limit has been reached"),
    (1321, 429, "The enterprise's limit has been reached"),
    (434, 434, "You do not have permission for this API; the feature is in beta"),
    (435, 435, "File size exceeds 100MB"),
    (500, 500, "Internal server error"),
];

/// Names that mean the same on every make, for tests that run over all of them.
const ALIASES: &[(&str, &str)] = &[
    ("auth", "1000"),
    ("balance", "1113"),
    ("not_found", "1211"),
    ("server_error", "500"),
    ("too_long", "1261"),
    ("content_filter", "1301"),
    ("rate_limit", "1302"),
    ("concurrency", "1302"),
    ("overloaded", "1305"),
    ("quota", "1308"),
];

pub(super) fn by_name(name: &str, reset: &str, int_code: bool) -> Option<Refusal> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, code)| code);
    let code: u16 = name.parse().ok()?;
    let (_, status, message) = TABLE.iter().find(|row| row.0 == code)?;
    Some(Refusal::glm(*status, code, &message.replace("{reset}", reset), int_code))
}
