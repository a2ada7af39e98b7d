//! Whether the settings can be served at all. Reads files, and makes, binds and changes nothing: the doctor asks it too.

use super::{StartError, exposed, providers};
use crate::config::Config;
use crate::security;
use crate::tls;

/// All that would keep `exai serve` from starting, however the ports and the database are.
pub(crate) fn problems(config: &Config) -> Vec<StartError> {
    let tls = tls::server(&config.listen).map(drop).map_err(StartError::from);
    let tokens = security::has_named_tokens(config.tokens_file.as_deref())
        .and_then(|named| exposed::check(config, named))
        .map_err(StartError::from);
    let models = providers::catalogue(config)
        .map_err(StartError::from)
        .and_then(|catalogue| providers::default_model(config, &catalogue))
        .map(drop);
    [tls, tokens, models].into_iter().filter_map(Result::err).collect()
}
