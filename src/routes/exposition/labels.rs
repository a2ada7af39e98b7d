//! Labels as the format wants them: what clients and upstreams make up may hold anything (OpenMetrics 1.0, section "ABNF", `escaped-string`).

use std::fmt::{Error, Write};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// Labels of one series.
pub(super) type Labels<'a> = Vec<(&'a str, Value<'a>)>;

/// The value of a label. The library writes values as they are.
#[derive(Debug)]
pub(super) struct Value<'a>(pub(super) &'a str);

impl EncodeLabelValue for Value<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), Error> {
        for character in self.0.chars() {
            match character {
                '\\' => encoder.write_str(r"\\")?,
                '"' => encoder.write_str("\\\"")?,
                '\n' => encoder.write_str(r"\n")?,
                other => encoder.write_char(other)?,
            }
        }
        Ok(())
    }
}
