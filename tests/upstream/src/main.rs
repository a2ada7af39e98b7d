//! The double as a program: one listener per make, until it is killed.

use std::io::Write;
use std::process::ExitCode;

use exai_upstream::{Make, Options, Script, Upstream};

const USAGE: &str = "usage: exai-upstream [--make kimi|glm|openai] [--port N] [--journal FILE] [--key KEY] [--seed N] [--script SCRIPT]
                     [--max-concurrency N]
Without --make all three listen: on N, N+1 and N+2, or on free ports.";

struct Arguments {
    makes: Vec<Make>,
    options: Options,
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number in range"))
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { makes: Make::ALL.to_vec(), options: Options::default() };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} takes a value"));
        let options = &mut arguments.options;
        match word.as_str() {
            "--make" => arguments.makes = vec![value()?.parse()?],
            "--port" => options.port = number(&value()?)?,
            "--journal" => options.journal_file = Some(value()?.into()),
            "--key" => options.required_key = Some(value()?),
            "--seed" => options.seed = number(&value()?)?,
            "--max-concurrency" => options.max_concurrency = Some(number(&value()?)?),
            "--script" => {
                options.default_script = value()?.parse::<Script>().map_err(|error| error.to_string())?
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(arguments)
}

fn run() -> Result<(), String> {
    let arguments = parse(std::env::args().skip(1))?;
    let mut running = Vec::new();
    for (make, above) in arguments.makes.iter().zip(0u16..) {
        let mut options = arguments.options.clone();
        if options.port != 0 {
            options.port = options.port.checked_add(above).ok_or("--port is too high")?;
        }
        let upstream =
            Upstream::start_with(*make, options).map_err(|error| format!("cannot start {make}: {error}"))?;
        writeln!(std::io::stdout(), "{make} {}", upstream.base_url())
            .map_err(|error| format!("cannot print: {error}"))?;
        running.push(upstream);
    }
    loop {
        std::thread::park();
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}
