//! The text form of a script: `key` or `key=value`, joined by `+`.

use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

use super::{Script, ScriptError, UsagePlace};

/// The largest number a count may have.
const COUNT_MAX: u32 = 1_000_000;
/// The longest pause, an hour.
const MS_MAX: u32 = 3_600_000;
/// The largest line of `huge`, in bytes.
const HUGE_MAX: u32 = 64 * 1024 * 1024;
/// The longest text of a script that is read.
const SCRIPT_BYTES_MAX: usize = 4096;

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Script, ScriptError> {
        if text.len() > SCRIPT_BYTES_MAX {
            return Err(ScriptError(format!("longer than {SCRIPT_BYTES_MAX} bytes")));
        }
        let mut script = Script::default();
        for part in text.split('+').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) => set_value(&mut script, key, value)?,
                None => set_switch(&mut script, part)?,
            }
        }
        Ok(script)
    }
}

fn set_switch(script: &mut Script, key: &str) -> Result<(), ScriptError> {
    let switch = match key {
        "hang-up" => &mut script.hang_up,
        "reset" => &mut script.reset,
        "leave" => &mut script.leave,
        "corpse" => &mut script.corpse,
        "garbage" => &mut script.garbage,
        "html" => &mut script.html,
        "wrong-type" => &mut script.wrong_type,
        "endless" => &mut script.endless,
        "no-done" => &mut script.no_done,
        "comments" => &mut script.comments,
        "crlf" => &mut script.crlf,
        "no-space" => &mut script.no_space,
        "bare" => &mut script.bare,
        "echo" => &mut script.echo,
        "int-code" => &mut script.int_code,
        _ => return Err(ScriptError(format!("no switch is called {key:?}"))),
    };
    *switch = true;
    Ok(())
}

fn set_value(script: &mut Script, key: &str, value: &str) -> Result<(), ScriptError> {
    let (place, max) = match key {
        "tokens" => (&mut script.tokens, COUNT_MAX),
        "think" => (&mut script.think, COUNT_MAX),
        "pace" => (&mut script.pace_ms, MS_MAX),
        "delay" => (&mut script.delay_ms, MS_MAX),
        "slow-headers" => (&mut script.slow_headers_ms, MS_MAX),
        "early-hints" => (&mut script.early_hints_ms, MS_MAX),
        "stall-after" => (&mut script.stall_after, COUNT_MAX),
        "cut-after" => (&mut script.cut_after, COUNT_MAX),
        "eof-after" => (&mut script.eof_after, COUNT_MAX),
        "reset-after" => (&mut script.reset_after, COUNT_MAX),
        "garbage-after" => (&mut script.garbage_after, COUNT_MAX),
        "error-after" => (&mut script.error_after, COUNT_MAX),
        "comments-after" => (&mut script.comments_after, COUNT_MAX),
        "empties-after" => (&mut script.empties_after, COUNT_MAX),
        "huge" => (&mut script.huge, HUGE_MAX),
        "split" => (&mut script.split, COUNT_MAX),
        "cached" => (&mut script.cached, COUNT_MAX),
        "retry-after" => (&mut script.retry_after, COUNT_MAX),
        "wait" => (&mut script.wait, COUNT_MAX),
        _ => return set_text(script, key, value),
    };
    let number =
        value.parse::<u32>().map_err(|_| ScriptError(format!("{key} takes a number, not {value:?}")))?;
    if number > max || (key == "split" && number == 0) {
        return Err(ScriptError(format!("{key}={number} is out of range (at most {max})")));
    }
    *place = Some(number);
    Ok(())
}

fn set_text(script: &mut Script, key: &str, value: &str) -> Result<(), ScriptError> {
    let place = match key {
        "usage" => {
            script.usage = Some(usage_place(value)?);
            return Ok(());
        }
        "finish" => &mut script.finish,
        "model" => &mut script.model,
        "reasoning" => &mut script.reasoning,
        "tool" => &mut script.tool,
        "refuse" => &mut script.refuse,
        "redirect" => &mut script.redirect,
        _ => return Err(ScriptError(format!("no key is called {key:?}"))),
    };
    let text = decode(value).ok_or_else(|| ScriptError(format!("{key} has a bad %-escape")))?;
    if text.is_empty() {
        return Err(ScriptError(format!("{key} takes a value")));
    }
    *place = Some(text);
    Ok(())
}

fn usage_place(value: &str) -> Result<UsagePlace, ScriptError> {
    Ok(match value {
        "none" => UsagePlace::None,
        "choice" => UsagePlace::Choice,
        "top" => UsagePlace::Top,
        "both" => UsagePlace::Both,
        _ => return Err(ScriptError(format!("usage is none, choice, top or both, not {value:?}"))),
    })
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'+' && byte != b'%' {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

impl Display for UsagePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UsagePlace::None => "none",
            UsagePlace::Choice => "choice",
            UsagePlace::Top => "top",
            UsagePlace::Both => "both",
        })
    }
}

impl Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (key, value) in [
            ("tokens", self.tokens),
            ("think", self.think),
            ("pace", self.pace_ms),
            ("delay", self.delay_ms),
            ("slow-headers", self.slow_headers_ms),
            ("early-hints", self.early_hints_ms),
            ("stall-after", self.stall_after),
            ("cut-after", self.cut_after),
            ("eof-after", self.eof_after),
            ("reset-after", self.reset_after),
            ("garbage-after", self.garbage_after),
            ("error-after", self.error_after),
            ("comments-after", self.comments_after),
            ("empties-after", self.empties_after),
            ("huge", self.huge),
            ("split", self.split),
            ("cached", self.cached),
            ("retry-after", self.retry_after),
            ("wait", self.wait),
        ] {
            parts.extend(value.map(|value| format!("{key}={value}")));
        }
        for (key, on) in [
            ("hang-up", self.hang_up),
            ("reset", self.reset),
            ("leave", self.leave),
            ("corpse", self.corpse),
            ("garbage", self.garbage),
            ("html", self.html),
            ("wrong-type", self.wrong_type),
            ("endless", self.endless),
            ("no-done", self.no_done),
            ("comments", self.comments),
            ("crlf", self.crlf),
            ("no-space", self.no_space),
            ("bare", self.bare),
            ("echo", self.echo),
            ("int-code", self.int_code),
        ] {
            parts.extend(on.then(|| key.to_owned()));
        }
        parts.extend(self.usage.map(|place| format!("usage={place}")));
        for (key, text) in [
            ("finish", &self.finish),
            ("model", &self.model),
            ("reasoning", &self.reasoning),
            ("tool", &self.tool),
            ("refuse", &self.refuse),
            ("redirect", &self.redirect),
        ] {
            parts.extend(text.as_ref().map(|text| format!("{key}={}", encode(text))));
        }
        f.write_str(&parts.join("+"))
    }
}
